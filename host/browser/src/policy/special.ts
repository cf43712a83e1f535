import { contains, parseAddr, parsePrefix, type Addr, type Prefix } from "./addr.js";

const prefixes = (list: string): Prefix[] => list.trim().split(/\s+/).map((text) => parsePrefix(text)!);

/** The IANA special-purpose registries (RFC 6890), multicast, and what is global by registry but answered by the machine's own surroundings. */
const special4 = prefixes(`
  0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24
  192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32`);
const global6 = parsePrefix("2000::/3")!; // the rest isn't assigned for the internet
const special6 = prefixes("2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 3ffe::/16");

/** What kinds of special addresses are called; what is in none is reserved. */
const kinds: [name: string, prefixes: Prefix[]][] = [
  ["the unspecified", prefixes("0.0.0.0/32 ::/128")],
  ["a loopback", prefixes("127.0.0.0/8 ::1/128")],
  ["a private", prefixes("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7")],
  ["a link-local", prefixes("169.254.0.0/16 fe80::/10")],
  ["a multicast", prefixes("224.0.0.0/4 ff00::/8")],
];

/** Prefixes whose addresses carry an IPv4 address, and at which byte (RFC 4291, 2765, 6052, 8215, 3056 and 4380). */
const embeddings: [form: string, prefix: Prefix, offset: number][] = ([
  ["an IPv4-mapped", "::ffff:0:0", 96, 12],
  ["an IPv4-translated", "::ffff:0:0:0", 96, 12],
  ["a NAT64", "64:ff9b::", 96, 12],
  ["a local NAT64", "64:ff9b:1::", 48, 12],
  ["a 6to4", "2002::", 16, 2],
  ["a Teredo", "2001::", 32, 12],
  ["an IPv4-compatible", "::", 96, 12],
] as const).map(([form, text, bits, offset]) => [form, { addr: parseAddr(text)!, bits }, offset]); // parsePrefix would take a mapped one for IPv4

/** What makes an address one that a fetch must not reach unasked, with its article ("a loopback"), or "" for an ordinary public one. */
export function special(addr: Addr): string {
  const [inner, form] = embedded(addr);
  if (!inner) return plainKind(addr);
  const kind = plainKind(inner);
  return kind ? `${form} form of ${kind}` : form;
}

function plainKind(addr: Addr): string {
  const among = (list: Prefix[]) => list.some((prefix) => contains(prefix, addr));
  const ordinary = addr.length === 4 ? !among(special4) : contains(global6, addr) && !among(special6);
  return ordinary ? "" : (kinds.find(([, list]) => among(list))?.[0] ?? "a reserved");
}

/**
 * The IPv4 address that an IPv6 one carries, and what that form is called. No such address is public, whatever it carries: it is either
 * not for the wire or asks a gateway for another one.
 */
export function embedded(addr: Addr): [inner: Addr | undefined, form: string] {
  if (addr.length === 4 || addr.every((byte, i) => byte === 0 || (i === 15 && byte === 1))) return [undefined, ""];
  // ISATAP (RFC 5214, section 6.1) marks the interface identifier, below any prefix; the bits aside are "universal" and "group".
  if ((addr[8]! & ~3) === 0 && addr[9] === 0 && addr[10] === 0x5e && addr[11] === 0xfe) return [addr.slice(12), "an ISATAP"];
  for (const [form, prefix, offset] of embeddings) {
    if (!contains(prefix, addr)) continue;
    const inner = addr.slice(offset, offset + 4);
    return [form === "a Teredo" ? inner.map((byte) => byte ^ 255) : inner, form]; // which hides its client's address (RFC 4380, section 4)
  }
  return [undefined, ""];
}
