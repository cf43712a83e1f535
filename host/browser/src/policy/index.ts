/**
 * What may be fetched: the manifest's rules and the operator's, as host/fetch/policy decides on the server. The first rule, in order, that
 * matches both the URL and the method decides. Rules that match the URL but not the method make it method_denied; no rule for the URL
 * makes it host_denied; an address that is private, loopback or otherwise special is address_denied unless the rule says `private: true`
 * and the operator's `private` covers it.
 *
 * A page can't see what a name resolves to. So only addresses in URLs and localhost names, which need no resolver, are judged as
 * addresses (code browser_address in `unenforced`). IDNA is the platform's, so that a few names of newer Unicode versions may be
 * taken here and not there.
 */
import { operatorOf, type Operator } from "../manifest/index.js";
import type { Manifest, OperatorInput } from "../manifest/types.js";
import type { Addr } from "./addr.js";
import { clip, fail, quote, type Fail } from "./failure.js";
import { HostSet, PrivateSet } from "./hosts.js";
import { compileRule, matches, nearMiss, ruleName, type CompiledRule } from "./rule.js";
import { special } from "./special.js";
import { parseURL, type ParsedURL } from "./url.js";

/** What a policy says of a method and a URL; the form of `sortie explain --json`. */
export interface Decision {
  allowed: boolean;
  code?: string; // if not allowed: host_denied, method_denied, address_denied, or why the URL can't be parsed
  rule?: string; // that decided, as in the manifest; for method_denied the first that matches the URL
  number?: number; // its place in fetch.allow, from 1
  private: boolean; // whether it says `private: true`
  reason: string; // one sentence that names the rule, or the missing one and what to add
}

export class Policy {
  readonly #rules: CompiledRule[];
  readonly #allow: HostSet;
  readonly #deny: HostSet;
  readonly #private: PrivateSet;

  /** Throws an Error on a rule or pattern that can't be read or could never match; parseManifest lets none of them pass. */
  constructor(manifest: Pick<Manifest, "fetch">, operator?: Operator | OperatorInput) {
    const op = operatorOf(operator);
    this.#rules = manifest.fetch.allow.map((rule, i) => compileRule(i + 1, rule));
    this.#allow = new HostSet(op.hosts.allow);
    this.#deny = new HostSet(op.hosts.deny);
    this.#private = new PrivateSet(op.private);
  }

  /** Decides for text that a person typed: what can't be parsed is a decision as well, and an address is part of it. */
  check(url: string, method = "GET"): Decision & { method: string; url: string } {
    const asked = { method, url };
    const u = parseURL(url);
    if ("code" in u) return { ...asked, allowed: false, code: u.code, private: false, reason: u.message };
    const upper = method.toUpperCase();
    const d = this.decide(/^(DELETE|GET|HEAD|OPTIONS|POST|PUT)$/.test(upper) ? upper : method, u); // Fetch standard, "normalize a method"
    const denied = d.allowed ? this.address(d, u) : undefined;
    if (!denied) return { ...asked, ...d };
    return { ...asked, ...d, allowed: false, code: denied.code, reason: `${d.reason}, but ${denied.message}` };
  }

  /** Whether a URL may be fetched with a method ("" is GET). It looks at names only; see address. */
  decide(method: string, u: ParsedURL): Decision {
    method ||= "GET";
    const denied = (reason: string): Decision => ({ allowed: false, code: "host_denied", private: false, reason });
    const pattern = this.#deny.match(u, true);
    if (pattern !== undefined) return denied(`the operator's hosts.deny has ${JSON.stringify(pattern)}, which covers ${u.host}`);
    if (this.#allow.match(u, false) === undefined) {
      return denied(`the operator's hosts.allow has no pattern for ${u.host}; the operator has to add ${JSON.stringify(u.host)} to it`);
    }
    const matching = this.#rules.filter((rule) => matches(rule, u));
    const rule = matching.find((r) => r.methods.length === 0 || r.methods.includes(method)) ?? matching[0];
    if (!rule) return denied(this.#missing(u));
    const decided = { rule: rule.text, number: rule.number, private: rule.private };
    if (rule.methods.length === 0 || rule.methods.includes(method)) return { ...decided, allowed: true, reason: `${ruleName(rule)} allows it` };
    const methods = [...new Set(matching.flatMap((r) => r.methods))].sort().join(", ");
    return {
      ...decided, allowed: false, code: "method_denied",
      reason: `${ruleName(rule)} matches, but ${quote(method)} is not among the methods allowed there (${methods}); add it to the rule's methods`,
    };
  }

  /** Judges the address that a URL is, or that its name is known to have (RFC 6761, section 6.3); d is what decide said. */
  address(d: Decision, u: ParsedURL): Fail | undefined {
    const addr: Addr | undefined = u.addr ?? (isLocalhost(u.host) ? [127, 0, 0, 1] : undefined);
    if (!addr) return undefined;
    const subject = `${u.host} ${u.addr ? "is" : "resolves to"}`;
    const pattern = this.#deny.matchAddr(addr);
    if (pattern !== undefined) return fail("address_denied", `${subject} an address that the operator's hosts.deny covers with ${JSON.stringify(pattern)}`);
    const kind = special(addr);
    if (kind === "" || (d.private && this.#private.covers(u, addr))) return undefined;
    const rule = `rule ${d.number} ${JSON.stringify(d.rule)}`, origin = JSON.stringify(u.origin);
    return fail("address_denied", d.private
      ? `${subject} ${kind} address; ${rule} says private: true, but the operator's private has to cover it too: add ${origin} there`
      : `${subject} ${kind} address; to reach it, ${rule} needs private: true, and the operator's private has to cover ${origin}`);
  }

  /** The sentence for a URL that no rule matches: it names the nearest rule, where one differs in a single thing, and what to add. */
  #missing(u: ParsedURL): string {
    const origin = JSON.stringify(u.origin);
    const add = `to allow it, add ${u.addr && special(u.addr) ? `{url: ${origin}, private: true}` : origin} to fetch.allow`;
    if (this.#rules.length === 0) return `fetch.allow is empty, so nothing may be fetched; ${add}`;
    for (const rule of this.#rules) {
      const why = nearMiss(rule, u);
      if (why) return `no rule matches ${clip(u.text)}: ${ruleName(rule)} ${why}; ${add}`;
    }
    return `no rule matches ${clip(u.text)}; ${add}`;
  }
}

/** Whether a name needs no resolver to be known as a loopback address. */
export function isLocalhost(name: string): boolean {
  return /(^|\.)localhost\.?$/.test(name);
}
