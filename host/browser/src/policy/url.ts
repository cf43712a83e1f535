import { disguise } from "../manifest/disguise.js";
import { defaultPort } from "../manifest/pattern.js";
import { byteLength, trimmed } from "../manifest/text.js";
import { parseAddr, type Addr } from "./addr.js";
import { clip, fail, isFail, quote, type Fail } from "./failure.js";

const maxURL = 8 << 10; // bytes, as given and as it is sent
const maxSegments = 512; // of a path

/** A parsed http or https URL, without what must not be sent. It is immutable. */
export interface ParsedURL {
  scheme: string;
  host: string; // ASCII; IPv6 without brackets
  port: string; // effective
  origin: string; // as the URL Standard writes it, without the default port
  path: string; // starts with "/"
  fragment: string; // never sent
  text: string; // all but the fragment: what is sent
  disguise: string; // what in the path a server may read as another path; "" if nothing
  addr?: Addr; // if the host is an address
}

/**
 * Parses a URL as a browser does (the platform's own parser), and refuses what a browser would put up with but a fetch on behalf of others
 * should not. See host/fetch/policy/url.go. Relative to base, it parses what a Location field holds.
 */
export function parseURL(raw: string, base?: ParsedURL): ParsedURL | Fail {
  const refused = screen(raw);
  if (refused) return refused;
  const text = trimmed(raw, " ");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (!scheme && !base) return fail("invalid_url", `${quoteURL(raw)} has no scheme; write https://…`);
  if (scheme && scheme !== "http" && scheme !== "https") return fail("unsupported_protocol", `the scheme ${quote(scheme)} is not supported; use http or https`);
  const authority = authorityOf(text, base !== undefined && (!scheme || scheme === base.scheme));
  if (authority.includes("@")) return userinfo();
  let parsed: URL;
  try {
    parsed = new URL(text, base?.text);
  } catch {
    return fail("invalid_url", `${quoteURL(raw)} is not a valid URL`);
  }
  // IDNA drops a last label that is nothing but what it ignores, and the dot before it then looks like the root's.
  if (parsed.hostname.endsWith(".") && authority !== "" && !/[.\u3002\uff0e\uff61](:|$)/.test(decoded(authority))) {
    return fail("invalid_url", `${quoteURL(raw)} is not a valid URL`);
  }
  const u = build(parsed);
  if (base && !isFail(u) && !text.includes("#")) u.fragment = base.fragment; // Fetch Standard, "location URL"
  return u;
}

/** Refuses what the parser would drop or replace without a word. */
function screen(raw: string): Fail | undefined {
  const bytes = byteLength(raw);
  if (bytes > maxURL) return tooLong(bytes);
  if (/[\r\n\0]/.test(raw)) return fail("invalid_request", "the URL holds a CR, LF or NUL");
  if (/\p{Cs}/u.test(raw)) return fail("invalid_url", "the URL is not UTF-8"); // which leaves lone surrogates
  if (/\p{Cc}/u.test(raw)) return fail("invalid_url", `${quoteURL(raw)} holds a control character; percent-encode it`);
  if (raw.split(/[?#]/)[0]!.split(/[/\\]/).length - 1 > maxSegments + 2) return tooDeep();
  return undefined;
}

/** What stands where a browser sees an authority; "": nothing does. A relative reference has one only after two slashes. */
function authorityOf(text: string, relative: boolean): string {
  const [, slashes, authority] = /^(?:[a-z][a-z0-9+.-]*:)?([/\\]*)([^/\\?#]*)/i.exec(text)!;
  return relative && slashes!.length < 2 ? "" : authority!;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Takes over what the parser understood, and checks it. */
function build(parsed: URL): ParsedURL | Fail {
  if (parsed.username !== "" || parsed.password !== "") return userinfo();
  const scheme = parsed.protocol.slice(0, -1), bracketed = parsed.hostname.startsWith("[");
  const host = bracketed ? parsed.hostname.slice(1, -1) : parsed.hostname, addr = parseAddr(host);
  const wrong = addr ? "" : notDNS(host);
  if (wrong) return fail("invalid_url", `the host ${quote(host)} ${wrong}`);
  if (parsed.port === "0") return fail("invalid_url", "port 0 can't be connected to");
  const target = parsed.href.slice(parsed.origin.length).split("#")[0]!, query = target.indexOf("?");
  let path = (query < 0 ? target : target.slice(0, query)).replaceAll("^", "%5E"); // older parsers leave it
  if (path.split("/").length - 1 > maxSegments) return tooDeep();
  if (path.startsWith("//")) path = encodePlain(path);
  const text = parsed.origin + path + (query < 0 ? "" : target.slice(query)), fragment = parsed.hash.slice(1);
  if (text.length + fragment.length > maxURL) return tooLong(text.length + fragment.length);
  return { scheme, host, port: parsed.port || defaultPort(scheme), origin: parsed.origin, path, fragment, text, disguise: disguise(path), addr };
}

/** Says why a host can't be a name in DNS (RFC 1035, section 2.3.4, and the underscore of RFC 2782), or "". The root's dot may end it. */
function notDNS(host: string): string {
  const name = host.replace(/\.$/, ""), labels = name.split(".");
  if (name.length > 253) return "is longer than 253 bytes";
  if (labels.includes("")) return "is empty or has an empty label";
  if (labels.some((label) => label.length > 63)) return "has a label longer than 63 bytes";
  if (/[^a-z0-9._-]/.test(name)) return "holds a character that no DNS name has";
  // A sign makes it no number; the server refuses it as one, and no top-level domain is of that kind.
  if (/^(-[0-9]+|0-[0-7]+|0x-[0-9a-f]+)$/.test(labels.at(-1)!)) return "ends in a number but is not an IPv4 address";
  return host.includes("xn--") && !isStable(host) ? "is in Punycode that IDNA refuses" : "";
}

/** Whether parsing a name once more gives it again. */
function isStable(host: string): boolean {
  try {
    return new URL(`http://${host}/`).hostname === host;
  } catch {
    return false;
  }
}

/** A path with two slashes in front is sent by the server in a form that has fewer characters as they are. */
function encodePlain(path: string): string {
  return path.replace(/%(?![0-9a-f]{2})|[^%\w\-.~!$&'()*+,;=:@[\]/]/gi, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));
}

const tooLong = (bytes: number) => fail("invalid_url", `the URL has ${bytes} bytes; the most is ${maxURL}`);
const tooDeep = () => fail("invalid_url", `the URL's path has more than ${maxSegments} segments`);
const userinfo = () => fail("invalid_url", "the URL holds a user name or password; send an Authorization header instead");

/** quote for a URL that may hold a password. */
function quoteURL(raw: string): string {
  return raw.includes("@") ? "the URL" : JSON.stringify(clip(raw));
}
