import { formatAddr, parsePrefix } from "../policy/addr.js";
import { amounts, at, wrongAmount } from "./amounts.js";
import { Checker } from "./check.js";
import { Decoder } from "./decode.js";
import { defaultManifest } from "./defaults.js";
import { ManifestError } from "./errors.js";
import { checkPatternText, formatPattern, parseHostPattern, parsePattern } from "./pattern.js";
import { empty, operatorShape } from "./shape.js";
import { item, quote } from "./text.js";
import type { Manifest, OperatorInput } from "./types.js";

/**
 * An operator's configuration with every default filled in: no private address, every host, the documented ceilings. In a page the one
 * who calls load is the operator.
 */
export class Operator {
  readonly private: string[];
  readonly hosts: { allow: string[]; deny: string[] };
  readonly ceilings: Map<string, number>; // that are listed, by the amount's key
  readonly defaults: Manifest;
  readonly process: { fetches: number; per_origin: number };
  readonly upstreams: unknown[]; // neither read nor enforced

  /** Throws a ManifestError. */
  constructor(input: OperatorInput = {}) {
    const decoder = new Decoder(operatorShape), check = new Checker(decoder);
    const o = decoder.value(operatorShape, input, {
      ...(empty(operatorShape) as object), hosts: { allow: ["*"], deny: [] }, defaults: defaultManifest(), process: { fetches: 1024, per_origin: 128 },
    });
    new Checker(decoder, "defaults").manifest(o.defaults);
    if (o.defaults.name !== "") decoder.bad("defaults.name", "a name is no default; each plugin has its own");
    this.private = (o.private as string[]).map((text, i) => origin(check, text, item("private", i)));
    if (o.hosts.allow.length === 0) decoder.bad("hosts.allow", "an empty list allows no host at all; if that is meant, deny [\"*\"]");
    this.hosts = { allow: hosts(check, o.hosts.allow, "hosts.allow"), deny: hosts(check, o.hosts.deny, "hosts.deny") };
    this.ceilings = new Map();
    for (const a of amounts) {
      if (!decoder.named.has("ceilings." + a.key)) continue;
      const value = at(o.ceilings, a.key), wrong = wrongAmount(a, value);
      if (wrong) decoder.bad("ceilings." + a.key, wrong);
      this.ceilings.set(a.key, value);
    }
    for (const name of ["fetches", "per_origin"]) {
      if (o.process[name] < 1 || o.process[name] > 2 ** 31 - 1) decoder.bad("process." + name, `${o.process[name]}; it is 1 to ${2 ** 31 - 1}`);
    }
    this.defaults = o.defaults;
    this.process = o.process;
    this.upstreams = o.upstreams;
    if (decoder.problems.length > 0) throw new ManifestError(decoder.problems, "operator");
  }
}

/** Checks where private addresses may be reached, and puts it in canonical form. */
function origin(check: Checker, text: string, key: string): string {
  const prefix = parsePrefix(text);
  if (prefix) return formatAddr(prefix.addr) + "/" + prefix.bits;
  try {
    const p = parsePattern(text);
    if (p.path === "") return formatPattern(p);
    check.bad(key, `${quote(text)} has a path; it is an origin or a CIDR`);
  } catch (err) {
    check.bad(key, text.includes("://") ? `${quote(text)}: ${(err as Error).message}`
      : `${quote(text)} is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8`);
  }
  return text;
}

/** Checks host patterns, CIDRs and addresses, and puts them in canonical form. */
function hosts(check: Checker, list: string[], key: string): string[] {
  return list.map((text, i) => {
    const prefix = parsePrefix(text);
    if (prefix) return formatAddr(prefix.addr) + "/" + prefix.bits;
    try {
      checkPatternText(text);
      if (/[/@:]/.test(text) && !text.startsWith("[")) {
        throw new Error(`${quote(text)} is not a host; write api.example.com, *.example.com, * or a CIDR`);
      }
      const p = parseHostPattern(text);
      return p.anyHost ? "*" : (p.wildcard ? "*." : "") + p.host;
    } catch (err) {
      check.bad(item(key, i), (err as Error).message);
      return text;
    }
  });
}
