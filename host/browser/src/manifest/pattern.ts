import { disguise } from "./disguise.js";
import { byteLength } from "./text.js";

/**
 * What a rule matches: an origin, which may have wildcards, and a path prefix. Its parts are in the form in which a URL parsed as the
 * WHATWG URL Standard says gives them, so they compare character for character.
 */
export interface Pattern {
  scheme: string; // "http" or "https"
  host: string; // lower-case ASCII, without "*."; IPv6 without brackets; "" with anyHost
  wildcard: boolean; // *.host: one or more labels in front of host, never host itself
  anyHost: boolean; // host "*"
  port: string; // effective, such as "443"; "" with anyPort
  anyPort: boolean; // port "*"
  path: string; // "" (any), or a prefix that starts with "/" and ends at a segment's boundary
}

const maxPatternBytes = 2048;

/**
 * Parses `scheme://host[:port][/path]`. The host is a name, an address, `*.` in front of a name, or `*`; the port a number or `*`. What no
 * URL can ever match is an Error: user information, a query, a fragment, a wildcard anywhere else, and a path with dot segments,
 * backslashes or a disguise.
 */
export function parsePattern(text: string): Pattern {
  checkPatternText(text);
  const at = text.indexOf("://");
  if (at < 0) throw new Error("no scheme; a rule is scheme://host[:port], such as https://api.example.com");
  const scheme = text.slice(0, at).toLowerCase(), rest = text.slice(at + 3);
  if (scheme !== "http" && scheme !== "https") throw new Error(`scheme ${JSON.stringify(text.slice(0, at))}; only http and https can be fetched`);
  const slash = rest.indexOf("/");
  const [host, port] = splitAuthority(slash < 0 ? rest : rest.slice(0, slash));
  return {
    scheme, ...parsePort(port, scheme), ...parseHostPattern(host), path: parsePath(slash < 0 ? "" : rest.slice(slash)),
  };
}

/** Gives a pattern back in its canonical form, without a default port. Parsing it gives the same pattern. */
export function formatPattern(p: Pattern): string {
  const host = p.anyHost ? "*" : p.host.includes(":") ? `[${p.host}]` : (p.wildcard ? "*." : "") + p.host;
  const port = p.anyPort ? ":*" : p.port === defaultPort(p.scheme) ? "" : ":" + p.port;
  return `${p.scheme}://${host}${port}${p.path}`;
}

export function defaultPort(scheme: string): string {
  return scheme === "http" ? "80" : "443";
}

/** Refuses what is wrong wherever it stands. */
export function checkPatternText(text: string): void {
  if (text === "") throw new Error("empty; a rule is scheme://host[:port], such as https://api.example.com");
  const bytes = byteLength(text);
  if (bytes > maxPatternBytes) throw new Error(`${bytes} bytes long; a rule has ${maxPatternBytes} at most`);
  const bad = /[\x00-\x20\x7f\ufffd\p{Cs}\\?#]/u.exec(text)?.[0];
  switch (bad) {
    case undefined: return;
    case "\\": throw new Error("a backslash matches nothing; URLs have slashes");
    case "?": throw new Error("a query matches nothing; a rule ends with the path");
    case "#": throw new Error("a fragment matches nothing; a rule ends with the path");
    default: throw new Error("a space, control or invalid character matches nothing");
  }
}

/** Takes host and port apart; an IPv6 literal keeps its brackets. */
function splitAuthority(authority: string): [host: string, port: string] {
  if (authority.includes("@")) throw new Error("user information matches nothing; put credentials in `secrets`");
  const colon = authority.lastIndexOf(":");
  if (colon < 0 || colon < authority.lastIndexOf("]")) return [authority, ""];
  const host = authority.slice(0, colon), port = authority.slice(colon + 1);
  if (port === "") throw new Error("a colon without a port");
  if (host.includes(":") && host[0] !== "[") throw new Error("an IPv6 address needs brackets, as in http://[::1]:9000");
  return [host, port];
}

function parsePort(port: string, scheme: string): { port: string; anyPort: boolean } {
  if (port === "*") return { port: "", anyPort: true };
  if (port === "") return { port: defaultPort(scheme), anyPort: false };
  const n = /^\d+$/.test(port) ? Number(port) : 0;
  if (n < 1 || n > 65535) throw new Error(`port ${JSON.stringify(port)}; a port is 1 to 65535, or * for any`);
  return { port: String(n), anyPort: false };
}

/** Parses `*`, `*.name`, a name or an address. */
export function parseHostPattern(host: string): { host: string; wildcard: boolean; anyHost: boolean } {
  if (host === "*") return { host: "", wildcard: false, anyHost: true };
  const wildcard = host.startsWith("*.");
  const ascii = parseHost(wildcard ? host.slice(2) : host);
  if (wildcard && (ascii.includes(":") || /^[\d.]+$/.test(ascii))) {
    throw new Error(`host ${JSON.stringify(host)}; nothing can stand in front of an address`);
  }
  return { host: ascii, wildcard, anyHost: false };
}

/** Gives the host as a URL parser gives it: in ASCII and lower case, addresses in their one spelling; IPv6 loses its brackets. */
function parseHost(host: string): string {
  if (host === "") throw new Error("no host");
  const shown = `host ${JSON.stringify(host)}`;
  if (host.includes("*")) throw new Error(`${shown}; a wildcard is the whole host or, as *., its beginning`);
  const ascii = hostnameOf(host);
  // Some international names have an ASCII form that is none itself.
  if (ascii === "" || hostnameOf(ascii) !== ascii) throw new Error(`${shown} is not a valid host name or address`);
  if (ascii.startsWith("[")) return ascii.slice(1, -1);
  if (ascii.includes("*")) throw new Error(`${shown}; no host has an encoded wildcard`);
  if (ascii.endsWith(".")) throw new Error(`${shown}; leave out the dot at its end`);
  if (ascii.length > 253) throw new Error(`host of ${ascii.length} characters; a name has 253 at most`);
  if (ascii.split(".").some((label) => label === "" || label.length > 63)) throw new Error(`${shown}; each label has 1 to 63 characters`);
  return ascii;
}

function hostnameOf(host: string): string {
  try {
    return new URL(`https://${host}/`).hostname;
  } catch {
    return "";
  }
}

function parsePath(path: string): string {
  if (path === "" || path === "/") return ""; // every path begins with a slash
  if (path.includes("*")) throw new Error("a wildcard in the path matches nothing; a path is a prefix as it stands");
  const hidden = disguise(path);
  if (hidden !== "") throw new Error(`the path has ${hidden}, which matches nothing, as a server may take it for another path`);
  const dots = path.split("/").find((segment) => segment === "." || segment === "..");
  if (dots) throw new Error(`segment ${JSON.stringify(dots)} in the path matches nothing; write the path it leads to`);
  return new URL("https://host.invalid" + path).pathname;
}
