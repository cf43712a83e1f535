import { contains, parsePrefix, unmapped, type Addr, type Prefix } from "./addr.js";
import { compileOrigin, coversOrigin, isBelow, type Origin } from "./rule.js";
import { embedded } from "./special.js";
import { parseURL, type ParsedURL } from "./url.js";

/** An operator's hosts.allow or hosts.deny: `*`, `example.com`, `*.example.com`, CIDRs and addresses. */
export class HostSet {
  readonly #names: { text: string; host: string; wildcard: boolean }[] = []; // host "": `*`
  readonly #prefixes: { text: string; prefix: Prefix }[] = [];

  /** Throws an Error on what is no host pattern. */
  constructor(patterns: string[]) {
    for (const text of patterns) {
      const prefix = parsePrefix(text);
      if (prefix) {
        this.#prefixes.push({ text, prefix });
        continue;
      }
      const wildcard = text.startsWith("*."), name = wildcard ? text.slice(2) : text;
      const u = text === "*" ? undefined : parseURL(`http://${name}/`);
      if (u && ("code" in u || /[:/\\?#@[\]]/.test(name))) {
        throw new Error(`${JSON.stringify(text)} is not a host pattern; write "example.com", "*.example.com", "*" or a CIDR`);
      }
      if (u?.addr) throw new Error(`${JSON.stringify(text)}: write the address as ${u.host}`);
      this.#names.push({ text, host: u?.host ?? "", wildcard });
    }
  }

  /** The pattern that covers a URL's host. anyDot: example.com. is example.com. An address is covered by `*` and by prefixes only. */
  match(u: ParsedURL, anyDot: boolean): string | undefined {
    const plain = (name: string) => (anyDot ? name.replace(/\.$/, "") : name);
    const name = this.#names.find((pattern) => {
      if (pattern.host === "") return true;
      if (u.addr) return false;
      const a = plain(u.host), b = plain(pattern.host);
      return pattern.wildcard ? isBelow(a, b) : a === b;
    });
    return name?.text ?? (u.addr && this.matchAddr(u.addr));
  }

  /** The prefix that covers an address or an IPv4 address it carries. */
  matchAddr(addr: Addr): string | undefined {
    const [inner] = embedded(addr);
    return this.#prefixes.find(({ prefix }) => contains(prefix, addr) || (inner && contains(prefix, inner)))?.text;
  }
}

/** An operator's `private` list: origins, and CIDRs. */
export class PrivateSet {
  readonly #origins: Origin[] = [];
  readonly #prefixes: Prefix[] = [];

  /** Throws an Error on what is neither. */
  constructor(list: string[]) {
    for (const text of list) {
      const prefix = parsePrefix(text);
      if (prefix) this.#prefixes.push(prefix);
      else this.#origins.push(compileOrigin(text));
    }
  }

  /** Whether an address is permitted for a URL: by the URL's origin, or by the address. */
  covers(u: ParsedURL, addr: Addr): boolean {
    return this.#origins.some((origin) => coversOrigin(origin, u)) || this.#prefixes.some((prefix) => contains(prefix, unmapped(addr)));
  }
}
