import { defaultPort, parsePattern, type Pattern } from "../manifest/pattern.js";
import { parseAddr, sameAddr, type Addr } from "./addr.js";
import { quote } from "./failure.js";
import { parseURL, type ParsedURL } from "./url.js";

/** A pattern's origin, ready to be matched. */
export interface Origin {
  pattern: Pattern;
  addr?: Addr; // the host, if it is an address
}

/** One line of fetch.allow, ready to be matched. */
export interface CompiledRule extends Origin {
  text: string; // as in the manifest
  number: number; // from 1
  path: string; // "" for any, else a prefix as parseURL writes it
  methods: string[];
  private: boolean;
}

/** Throws an Error on a pattern that can't be read or could never match. */
export function compileRule(number: number, rule: { url: string; methods?: string[]; private?: boolean }): CompiledRule {
  const origin = compileOrigin(rule.url);
  const path = origin.pattern.path === "" ? undefined : parseURL("http://rule.invalid" + origin.pattern.path);
  if (path && "code" in path) throw new Error(`the path ${quote(origin.pattern.path)}: ${path.message}`);
  return {
    ...origin, number, text: rule.url, path: path && path.path !== "/" ? path.path : "", methods: rule.methods ?? [], private: rule.private ?? false,
  };
}

export function compileOrigin(url: string): Origin {
  const pattern = parsePattern(url);
  return { pattern, addr: parseAddr(pattern.host) };
}

export function coversOrigin(o: Origin, u: ParsedURL): boolean {
  return o.pattern.scheme === u.scheme && (o.pattern.anyPort || o.pattern.port === u.port) && coversHost(o, u);
}

export function coversHost({ pattern, addr }: Origin, u: ParsedURL): boolean {
  if (pattern.anyHost) return true;
  if (addr || u.addr) return sameAddr(addr, u.addr);
  return pattern.wildcard ? isBelow(u.host, pattern.host) : pattern.host === u.host;
}

/** Whether a name is a domain with one label or more in front. */
export function isBelow(name: string, domain: string): boolean {
  return name.endsWith("." + domain) && name.length > domain.length + 1;
}

/** Whether the rule is for a URL, whatever the method. A path is a prefix that ends at a segment's boundary. */
export function matches(r: CompiledRule, u: ParsedURL): boolean {
  if (!coversOrigin(r, u)) return false;
  if (r.path === "") return true;
  if (u.disguise !== "" || !u.path.startsWith(r.path)) return false;
  return u.path.length === r.path.length || r.path.endsWith("/") || u.path[r.path.length] === "/";
}

/** How sentences call the rule. */
export function ruleName(r: CompiledRule): string {
  return `rule ${r.number} ${JSON.stringify(r.text)}`;
}

/** Says in what the rule misses a URL if it does so in one thing only, else "". */
export function nearMiss(r: CompiledRule, u: ParsedURL): string {
  const p = r.pattern, scheme = p.scheme === u.scheme, port = p.anyPort || p.port === u.port, host = coversHost(r, u);
  if (scheme && port && host) {
    return u.disguise !== "" && r.path !== "" ? `has a path, which a URL with ${u.disguise} never satisfies` : `covers only paths at or below ${quote(r.path)}`;
  }
  if (host && scheme) return "is for port " + p.port;
  if (host && (port || (u.port === defaultPort(u.scheme) && p.port === defaultPort(p.scheme)))) return "is for " + p.scheme;
  if (scheme && port && p.wildcard && p.host === u.host) return `covers the subdomains of ${p.host} but not ${p.host} itself`;
  if (scheme && port && !p.wildcard && u.host.replace(/\.$/, "") === p.host.replace(/\.$/, "")) return "differs by the dot at the end of the host";
  return "";
}
