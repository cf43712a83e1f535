import { hostOwned, type Checker } from "./check.js";
import { formatPattern, parsePattern } from "./pattern.js";
import { byteLength, canonicalName, child, distinct, isFieldValue, isToken, item, quote } from "./text.js";
import type { CORS, Manifest, SampleRequest, Smoke } from "./types.js";
import { formatDuration } from "./units.js";

const maxNameBytes = 256, maxValueBytes = 8 << 10, maxChoices: Record<string, number> = { methods: 32, headers: 100, expose: 100 };

/** Checks what says how a server serves a plugin. None of it has an effect here, but a manifest that no server takes is an error here too. */
export function checkServing(c: Checker, m: Manifest): void {
  if (m.warmup) sample(c, m.warmup, "warmup");
  if (m.smoke) smoke(c, m.smoke);
  sticky(c, m.sticky);
  cors(c, m.cors);
}

function sample(c: Checker, s: SampleRequest, key: string): void {
  s.method = c.method(s.method, key + ".method");
  if (!s.path.startsWith("/")) c.bad(key + ".path", `${quote(s.path)} does not begin with a slash`);
  else if (byteLength(s.path) > maxValueBytes) c.bad(key + ".path", `${byteLength(s.path)} bytes long; a path has ${maxValueBytes} at most`);
  else if (/[\x00-\x20\x7f#]/.test(s.path)) c.bad(key + ".path", `${quote(s.path)} has a space, a control character or a fragment`);
}

function smoke(c: Checker, s: Smoke): void {
  sample(c, s, "smoke");
  const names = Object.keys(s.headers).sort(), canonical = new Map<string, string>();
  if (names.length > 100) c.bad("smoke.headers", `${names.length} header fields; 100 is the most`);
  for (const name of names) {
    const key = child("smoke.headers", name), written = canonicalName(name), value = s.headers[name]!;
    if (name.length > maxNameBytes || !isToken(name)) c.bad(key, `${quote(name)} is not a header's name`);
    else if (callerMaySet(name)) {
      if (canonical.has(written)) c.bad(key, `${quote(written)} is given twice; case makes no difference`);
      else if (byteLength(value) > maxValueBytes || !isFieldValue(value)) c.bad(key, "can't be a header's value");
    } else c.bad(key, `${quote(name)} can't be set by a caller that the plugin sees`);
    canonical.set(written, value);
  }
  s.headers = Object.fromEntries(canonical);
  if (s.status !== 0 && (s.status < 200 || s.status > 599)) {
    c.bad("smoke.status", `${s.status}; a plugin answers with 200 to 599, and 0 is any below 400`);
  }
}

function sticky(c: Checker, s: Manifest["sticky"]): void {
  if (s.header !== "" && s.cookie !== "") {
    c.bad("sticky", "both `header` and `cookie`; one of them says who stays together");
    return;
  }
  if (s.header.length > maxNameBytes || (s.header !== "" && !isToken(s.header))) c.bad("sticky.header", `${quote(s.header)} is not a header's name`);
  else if (s.header !== "" && !callerMaySet(s.header)) {
    c.bad("sticky.header", `${quote(s.header)} is about the connection or Sortie's own; name one that callers choose, such as X-User`);
  } else s.header = canonicalName(s.header);
  if (s.cookie !== "" && (s.cookie.length > maxNameBytes || !isToken(s.cookie))) {
    c.bad("sticky.cookie", `${quote(s.cookie)} is not a cookie's name, such as session`);
  }
}

function callerMaySet(header: string): boolean {
  return !hostOwned(header) && !/^proxy-auth/i.test(header);
}

function cors(c: Checker, r: CORS): void {
  if (r.origins.length > 1000) c.bad("cors.origins", `${r.origins.length} origins; 1000 is the most`);
  r.origins = distinct(r.origins.map((text, i) => {
    const key = item("cors.origins", i);
    if (text !== "*") return origin(c, text, key);
    if (r.origins.length > 1) c.bad(key, "* is every origin; it stands alone");
    return text;
  }));
  for (const name of ["methods", "headers", "expose"] as const) {
    const list = r[name], key = "cors." + name;
    if (list.length > maxChoices[name]!) c.bad(key, `${list.length} items; ${maxChoices[name]} is the most`);
    r[name] = distinct(list.map((text, i) => choice(c, text, item(key, i), name, list.length)));
  }
  if (r.credentials && r.origins.includes("*")) {
    c.bad("cors.credentials", "no browser sends credentials where every origin is allowed; list the origins, or leave `credentials` out");
  } else if (r.credentials && r.expose.includes("*")) {
    c.bad("cors.expose", "with `credentials`, browsers take * for a header's name; list the headers");
  }
  if (r.max_age > 24 * 36e5) c.bad("cors.max_age", `${formatDuration(r.max_age)}; it is 0s to 24h`);
}

/** Gives one origin in its one spelling. Apps with a browser inside have schemes of their own. */
function origin(c: Checker, text: string, key: string): string {
  const lower = text.toLowerCase(), web = /^https?:\/\//.test(lower);
  if (!web && /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9][a-z0-9._-]*(:[0-9]{1,5})?$/.test(lower)) return lower;
  try {
    const p = web && parsePattern(text);
    if (!p) c.bad(key, `${quote(text)} is not an origin, such as https://app.example.com`);
    else if (p.wildcard || p.anyHost || p.anyPort) c.bad(key, `${quote(text)} has a wildcard; list each origin, or write * alone for every one`);
    else if (p.path !== "") c.bad(key, `${quote(text)} has a path; an origin is scheme://host[:port]`);
    else return formatPattern(p);
  } catch (err) {
    c.bad(key, `${quote(text)}: ${(err as Error).message}`);
  }
  return text;
}

function choice(c: Checker, text: string, key: string, list: string, count: number): string {
  if (text === "*") {
    if (count > 1) c.bad(key, "* is any; it stands alone");
    return text;
  }
  if (list !== "methods") {
    if (text.length > maxNameBytes || !isToken(text)) c.bad(key, `${quote(text)} is not a header's name`);
    return text.toLowerCase();
  }
  const method = c.method(text, key);
  if (/^(CONNECT|TRACE|TRACK)$/.test(method)) c.bad(key, `${method}; no page can use that method`);
  return method;
}
