import type { ParsedURL } from "../policy/url.js";
import type { Header } from "./header.js";
import { maxCookieBytes, maxCookies } from "./params.js";

interface Cookie {
  name: string;
  value: string;
  host: string;
  path: string;
  secure: boolean;
}

/**
 * Cookies that the hops of one redirect chain have set (RFC 6265, section 5.3), where the engine follows itself. They live as long as the
 * chain. Unlike the server, which has a list of public suffixes, it sends a cookie to the very host that set it only, whatever its Domain.
 */
export class Cookies {
  #jar: Cookie[] = [];

  /** Takes over what a response that redirects sets. */
  take(u: ParsedURL, lines: string[]): void {
    for (const line of lines.slice(0, maxCookies)) {
      const [pair, ...attributes] = line.split(";").map((part) => part.trim());
      const at = pair!.indexOf("=");
      if (at < 1) continue;
      const cookie: Cookie = { name: pair!.slice(0, at).trim(), value: pair!.slice(at + 1).trim(), host: u.host, path: u.path.replace(/\/[^/]*$/, "") || "/", secure: false };
      let expired = false;
      for (const attribute of attributes) {
        const [, name, value = ""] = /^([^=]*)=?(.*)$/.exec(attribute)!;
        switch (name!.toLowerCase()) {
          case "path": if (value.startsWith("/")) cookie.path = value; break;
          case "secure": cookie.secure = true; break;
          case "max-age": expired ||= Number(value) <= 0; break;
          case "expires": expired ||= Date.parse(value) <= Date.now(); break;
        }
      }
      this.#jar = this.#jar.filter((c) => c.name !== cookie.name || c.host !== cookie.host || c.path !== cookie.path);
      if (!expired) this.#jar.push(cookie);
    }
  }

  /** Adds the chain's cookies to a hop's header; the guest's own of the same names give way. */
  add(u: ParsedURL, header: Header): void {
    const set = this.#jar.filter((c) => c.host === u.host && (!c.secure || u.scheme === "https") && within(u.path, c.path));
    if (set.length === 0) return;
    const own = (header.get("cookie") ?? []).flatMap((line) => line.split(";")).map((pair) => pair.trim());
    const pairs = own.filter((pair) => pair !== "" && !set.some((c) => c.name === pair.split("=")[0]));
    let size = 0;
    for (const c of set.sort((a, b) => b.path.length - a.path.length)) {
      size += c.name.length + c.value.length + 3;
      if (size > maxCookieBytes) break;
      pairs.push(`${c.name}=${c.value}`);
    }
    header.set("cookie", [pairs.join("; ")]);
  }
}

/** Whether a path is at or below a cookie's (RFC 6265, section 5.1.4). */
function within(path: string, below: string): boolean {
  return path === below || (path.startsWith(below) && (below.endsWith("/") || path[below.length] === "/"));
}
