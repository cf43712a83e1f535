import { fail, isFail, type Fail } from "../policy/failure.js";
import { parseURL, type ParsedURL } from "../policy/url.js";
import type { Reply } from "./exchange.js";
import type { Flight, Hop } from "./flight.js";
import { clean } from "./text.js";

/** Makes the hop that a redirect leads to (Fetch standard, section 4.4, "HTTP-redirect fetch"), where the engine follows itself. */
export function nextHop(f: Flight, h: Hop, r: Reply): Hop | Fail {
  if (f.request.redirect === "error") {
    return fail("redirect_blocked", `the response redirects (status ${r.status}), and the request says not to follow`);
  }
  const u = parseURL(r.location, h.url);
  if (isFail(u)) return fail(u.code, `the redirect's Location: ${clean(u.message)}`);
  const most = f.client.limits.redirects;
  if (f.hops >= most) return fail("too_many_redirects", `redirects is ${most}, and the response redirects once more`);
  f.url = u;

  f.cookies.take(h.url, r.headers.getSetCookie());
  const own = new Map(h.own);
  const n = { method: h.method, body: h.body, upload: h.upload };
  if ((r.status === 303 && !/^(GET|HEAD)$/.test(h.method)) || ((r.status === 301 || r.status === 302) && h.method === "POST")) {
    Object.assign(n, { method: "GET", body: new Uint8Array(), upload: undefined });
    for (const name of [...own.keys()]) if (name.startsWith("content-")) own.delete(name);
  }
  if (!sameCredentials(h.url, u)) {
    own.delete("authorization");
    own.delete("cookie");
  }
  if (n.upload && !n.upload.reclaim()) { // a body without a source
    return fail("redirect_blocked", `the response redirects (status ${r.status}) with the request's body, which came as a stream and can't be sent again`);
  }
  const next = f.ready({ ...n, number: h.number + 1, onward: true }, u, own);
  if (!isFail(next)) f.hops++;
  return next;
}

/**
 * Whether what was meant for one URL may be sent to another: the same origin, or the same host's move from http to https on the default
 * ports, which the policy allows both.
 */
function sameCredentials(from: ParsedURL, to: ParsedURL): boolean {
  if (from.origin === to.origin) return true;
  return from.host === to.host && from.scheme === "http" && to.scheme === "https" && from.port === "80" && to.port === "443";
}
