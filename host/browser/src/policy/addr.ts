/** IP addresses and prefixes, as bytes: 4 for IPv4, 16 for IPv6. */

export type Addr = readonly number[];

export interface Prefix {
  addr: Addr; // masked
  bits: number;
}

/** Reads an address in its usual forms (no brackets, no zone); undefined: it is none. */
export function parseAddr(text: string): Addr | undefined {
  if (!text.includes(":")) {
    const parts = text.split(".");
    const valid = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
    return valid ? parts.map(Number) : undefined;
  }
  let canonical: string;
  try {
    canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
  const [head, tail] = canonical.split("::").map((half) => (half === "" ? [] : half.split(":")));
  const groups = tail ? [...head!, ...new Array<string>(8 - head!.length - tail.length).fill("0"), ...tail] : head!;
  return groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]);
}

/** The address in its one spelling. */
export function formatAddr(addr: Addr): string {
  if (addr.length === 4) return addr.join(".");
  const groups = [];
  for (let i = 0; i < 16; i += 2) groups.push(((addr[i]! << 8) | addr[i + 1]!).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

/** Reads a CIDR or a single address; IPv4-mapped ones are IPv4. */
export function parsePrefix(text: string): Prefix | undefined {
  const [head, length] = text.split("/") as [string, string?];
  let addr = parseAddr(length === undefined ? head.replace(/^\[(.*)\]$/, "$1") : head);
  if (!addr || text.split("/").length > 2) return undefined;
  let bits = addr.length * 8;
  if (length !== undefined) {
    if (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits) return undefined;
    bits = Number(length);
  }
  if (bits >= 96 && isMapped(addr)) [addr, bits] = [addr.slice(12), bits - 96];
  return { addr: addr.map((byte, i) => byte & mask(bits, i)), bits };
}

/** Whether a prefix holds an address. One of IPv4 holds no IPv6 address. */
export function contains(prefix: Prefix, addr: Addr): boolean {
  return prefix.addr.length === addr.length && addr.every((byte, i) => (byte & mask(prefix.bits, i)) === prefix.addr[i]);
}

export function sameAddr(a: Addr | undefined, b: Addr | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The IPv4 address that an IPv4-mapped one is; others as they are. */
export function unmapped(addr: Addr): Addr {
  return isMapped(addr) ? addr.slice(12) : addr;
}

function isMapped(addr: Addr): boolean {
  return addr.length === 16 && addr.slice(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 255));
}

/** The part of byte i that is in the first bits. */
function mask(bits: number, i: number): number {
  return 255 & ~(255 >> Math.min(Math.max(bits - i * 8, 0), 8));
}
