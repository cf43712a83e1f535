import { amounts, at, wrongAmount } from "./amounts.js";
import { checkServing } from "./check_serving.js";
import type { Decoder } from "./decode.js";
import { nearest } from "./nearest.js";
import { formatPattern, parsePattern } from "./pattern.js";
import { byteLength, distinct, isFieldValue, isToken, item, quote } from "./text.js";
import type { Manifest, Rule, Secret } from "./types.js";
import { formatDuration, parseDuration } from "./units.js";

const maxMethods = 32, maxSecrets = 100, maxAllow = 100, maxNameBytes = 256, maxValueBytes = 8 << 10, maxPathBytes = 1024;
const secretMark = "{secret}";

/** Checks decoded values and puts them in canonical form, as host/manifest/check.go does. */
export class Checker {
  constructor(readonly decoder: Decoder, readonly prefix = "") {}

  bad(key: string, message: string, near = ""): void {
    this.decoder.bad(this.full(key), message, near);
  }

  full(key: string): string {
    return this.prefix ? this.prefix + "." + key : key;
  }

  manifest(m: Manifest): void {
    if ((m.name !== "" || this.decoder.named.has(this.full("name"))) && !/^[a-z][a-z0-9-]{0,62}$/.test(m.name)) {
      this.bad("name", `${quote(m.name)} is not a plugin's name: a lower-case letter, then letters, digits and dashes, 63 at most`);
    }
    m.wasm = this.#wasm(m.wasm);
    if (m.entry === "" || byteLength(m.entry) > maxNameBytes || /\p{Cc}/u.test(m.entry)) {
      this.bad("entry", `${quote(m.entry)} can't be the name of an exported function`);
    }
    this.#oneOf("access", m.access, ["token", "public"]);
    this.#oneOf("isolation", m.isolation, ["fresh", "pooled"]);
    for (const a of amounts) {
      const wrong = wrongAmount(a, at(m, a.key));
      if (wrong) this.bad(a.key, wrong);
    }
    m.fetch.retry.statuses.forEach((status, i) => {
      if (status < 100 || status > 599) this.bad(item("fetch.retry.statuses", i), `${status}; a status is 100 to 599`);
    });
    m.fetch.retry.statuses = distinct(m.fetch.retry.statuses);
    m.fetch.hedge = this.#hedge(m.fetch.hedge);
    m.fetch.allow = m.fetch.allow.map((rule, i) => this.#rule(rule, item("fetch.allow", i)));
    checkServing(this, m);
    if (m.secrets.length > maxSecrets) this.bad("secrets", `${m.secrets.length} secrets; ${maxSecrets} is the most`);
    else m.secrets = m.secrets.map((secret, i) => this.#secret(secret, item("secrets", i)));
  }

  /** Checks one method (a token, RFC 9110 section 9.1) and gives it in upper case. */
  method(method: string, key: string): string {
    if (isToken(method) && method.length <= 32) return method.toUpperCase();
    this.bad(key, `${quote(method)} is not a method, such as GET`);
    return method;
  }

  #oneOf(key: string, value: string, allowed: string[]): void {
    if (!allowed.includes(value)) this.bad(key, `${quote(value)} is not one of ${allowed.join(", ")}`, nearest(value, allowed));
  }

  /** Checks the file's path, and cleans it. It is a slash path on every system, and stays inside its folder. */
  #wasm(file: string): string {
    const parts = file.split("/"), clean = parts.filter((part) => part !== "" && part !== ".").join("/");
    const shown = quote(file);
    if (file === "") this.bad("wasm", "empty; it is the plugin's file, such as plugin.wasm");
    else if (byteLength(file) > maxPathBytes) this.bad("wasm", `${byteLength(file)} bytes long; a path has ${maxPathBytes} at most`);
    else if (file[0] === "/") this.bad("wasm", `${shown} is absolute; it is relative to the manifest`);
    else if (parts.includes("..")) this.bad("wasm", `${shown} leaves the manifest's folder, or might; write it without ..`);
    else if (/[\\:\p{Cc}]/u.test(file)) this.bad("wasm", `${shown} has a backslash, a colon or a control character; parts are separated by slashes`);
    else if (clean === "" || file.endsWith("/")) this.bad("wasm", `${shown} is a folder; it is the plugin's file, such as plugin.wasm`);
    return clean;
  }

  /** Checks a hedge's delay, and writes it as durations are written. */
  #hedge(text: string): string {
    if (text === "" || text === "p95") return text;
    try {
      const ms = parseDuration(text), shown = formatDuration(ms);
      if (ms === 0) this.bad("fetch.hedge", `${shown}; leave it empty for no hedge at all`);
      else if (ms < 1 || ms > 8760 * 36e5) this.bad("fetch.hedge", `${shown}; it is 1ms to 8760h, or p95`);
      return shown;
    } catch {
      this.bad("fetch.hedge", `${quote(text)} is neither a duration, such as 50ms, nor p95`);
      return text;
    }
  }

  #rule(rule: Rule, key: string): Rule {
    const urlKey = this.decoder.named.has(this.full(key + ".url")) ? key + ".url" : key;
    return { url: this.#pattern(rule.url, urlKey), methods: this.#methods(rule.methods, key + ".methods"), private: rule.private };
  }

  #pattern(url: string, key: string): string {
    try {
      return formatPattern(parsePattern(url));
    } catch (err) {
      this.bad(key, url === "" ? "no URL; a rule has one, as scheme://host[:port]" : `${quote(url)}: ${(err as Error).message}`);
      return url;
    }
  }

  /** Checks a rule's methods, and sorts them in upper case without repeats. A list without any would match nothing. */
  #methods(list: string[], key: string): string[] {
    if (this.decoder.emptyLists.has(this.full(key))) this.bad(key, "an empty list matches nothing; without `methods`, all are allowed");
    if (list.length > maxMethods) {
      this.bad(key, `${list.length} methods; ${maxMethods} is the most`);
      return list;
    }
    return distinct(list.map((method, i) => this.method(method, item(key, i))));
  }

  #secret(s: Secret, key: string): Secret {
    if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/.test(s.name)) {
      this.bad(key + ".name", `${s.name === "" ? "no name" : quote(s.name)}; a secret needs the name it has in the operator's configuration, such as API_KEY`);
    }
    if (s.header === "") this.bad(key + ".header", "no header; a secret needs the one that carries it, such as Authorization");
    else if (s.header.length > maxNameBytes || !isToken(s.header)) this.bad(key + ".header", `${quote(s.header)} is not a header's name`);
    else if (hostOwned(s.header)) this.bad(key + ".header", `${quote(s.header)} is set by the host alone`);
    const format = s.format === "" && !this.decoder.named.has(this.full(key + ".format")) ? secretMark : s.format;
    if (!format.includes(secretMark)) this.bad(key + ".format", `it does not say where the secret goes; write ${secretMark} there`); // it may be the value
    else if (byteLength(format) > maxValueBytes || !isFieldValue(format)) this.bad(key + ".format", "can't be a header's value");
    if (this.decoder.emptyLists.has(this.full(key + ".allow"))) {
      this.bad(key + ".allow", "an empty list matches nothing; without `allow`, the operator's is used");
    }
    if (s.allow.length > maxAllow) this.bad(key + ".allow", `${s.allow.length} entries; ${maxAllow} is the most`);
    return { ...s, format, allow: s.allow.map((url, i) => this.#pattern(url, item(key + ".allow", i))) };
  }
}

/** Whether the host alone sets a header; a plugin's is dropped. */
export function hostOwned(header: string): boolean {
  return /^(sortie-.*|host|content-length|transfer-encoding|connection|keep-alive|proxy-connection|te|trailer|upgrade|expect)$/i.test(header);
}
