import type { Problem } from "./errors.js";
import { nearest, plain } from "./nearest.js";
import { empty, ruleShape, type Shape } from "./shape.js";
import { child, item, quote } from "./text.js";
import { parseBytes, parseDuration } from "./units.js";

const maxDepth = 32; // mappings and lists inside each other
const maxItems = 1000; // of one list
const maxProblems = 50;

/**
 * Lays values over others, strictly: it notes every unknown key and every value of the wrong kind, and goes on. What the source doesn't
 * name keeps its value, so decoding over defaults fills them in.
 */
export class Decoder {
  readonly problems: Problem[] = [];
  readonly named = new Set<string>(); // keys that the source gave, whatever their values
  readonly emptyLists = new Set<string>(); // keys given as a list without items
  readonly #elsewhere = new Map<string, string>(); // for a key's last part, or all parts run together, a full key

  constructor(shape: Shape) {
    this.#learn(shape, "");
  }

  /** Notes what is wrong with a key, unless something was before: with it, with what holds it, or with what it holds. */
  bad(key: string, message: string, near = ""): void {
    const touches = (other: string) => within(other, key) || within(key, other) || other === key;
    if (this.problems.length < maxProblems && !this.problems.some((p) => touches(p.key))) this.problems.push({ key, message, nearest: near });
  }

  /** What a source makes of a value. The old value isn't changed. */
  value(shape: Shape, source: unknown, old: unknown, key = "", depth = 0): any {
    this.named.add(key);
    if (depth > maxDepth) {
      this.bad(key, `more than ${maxDepth} mappings and lists inside each other`);
      return old;
    }
    switch (shape.kind) {
      case "text": return this.#scalar(source, "string", "text", old, key);
      case "truth": return this.#scalar(source, "boolean", "true or false", old, key);
      case "count":
        return Number.isSafeInteger(source) ? source : this.#wrong(source, "a whole number", old, key);
      case "duration":
        if (typeof source !== "string" && typeof source !== "number") return this.#wrong(source, "a duration, such as 10s or 100ms,", old, key);
        return this.#parsed(parseDuration, String(source), old, key);
      case "size":
        if (Number.isInteger(source) && (source as number) < 0) return this.#parsed(parseBytes, "-", old, key);
        if (Number.isInteger(source)) return source;
        return typeof source === "string" ? this.#parsed(parseBytes, source, old, key) : this.#wrong(source, "a size, such as 1MiB or 64KiB,", old, key);
      case "any": return this.#any(source, key, depth);
      case "rule":
        if (typeof source === "string") return { url: source, methods: [], private: false };
        if (!isMapping(source)) return this.#wrong(source, "a URL or a mapping with `url`", old, key);
        return this.value(ruleShape, source, empty(ruleShape), key, depth);
      case "list": return this.#list(shape.of, source, old, key, depth);
      case "map": return this.#map(shape.of, source, key, depth);
      case "fields": return this.#fields(shape, source, old, key, depth);
    }
  }

  #list(of: Shape, source: unknown, old: unknown, key: string, depth: number): unknown {
    if (source === null) return [];
    if (!Array.isArray(source)) return this.#wrong(source, "a list", old, key);
    if (source.length > maxItems) {
      this.bad(key, `${source.length} items; ${maxItems} is the most`);
      return old;
    }
    if (source.length === 0) this.emptyLists.add(key);
    return source.map((value, i) => this.value(of, value, empty(of), item(key, i), depth + 1));
  }

  #map(of: Shape, source: unknown, key: string, depth: number): unknown {
    if (source === null) return {};
    if (!isMapping(source)) return this.#wrong(source, "a mapping", {}, key);
    return record(Object.entries(source).map(([name, value]) => [name, this.value(of, value, empty(of), child(key, name), depth + 1)]));
  }

  #fields(shape: Shape & { kind: "fields" }, source: unknown, old: unknown, key: string, depth: number): unknown {
    if (source === null || source === undefined) return shape.fresh ? null : old;
    if (!isMapping(source)) return this.#wrong(source, "a mapping", old, key);
    const out: Record<string, unknown> = { ...((old as object | null) ?? shape.fresh!()) };
    for (const [name, value] of Object.entries(source)) {
      if (value === undefined) continue;
      if (!Object.hasOwn(shape.fields, name)) {
        this.#unknown(name, key, Object.keys(shape.fields));
        continue;
      }
      out[name] = this.value(shape.fields[name]!, value, out[name], child(key, name), depth + 1);
    }
    return out;
  }

  /** A value of the author's own, by JSON's data model. */
  #any(source: unknown, key: string, depth: number): unknown {
    if (depth > maxDepth) {
      this.bad(key, `more than ${maxDepth} mappings and lists inside each other`);
      return null;
    }
    if (Array.isArray(source)) return source.map((value, i) => this.#any(value, item(key, i), depth + 1));
    if (isMapping(source)) return record(Object.entries(source).map(([name, value]) => [name, this.#any(value, child(key, name), depth + 1)]));
    if (source === undefined || source === null) return null;
    if (typeof source === "string" || typeof source === "boolean" || Number.isFinite(source)) return source;
    this.bad(key, "not a value that JSON has");
    return null;
  }

  #scalar(source: unknown, type: string, want: string, old: unknown, key: string): unknown {
    if (typeof source === type) return source;
    if (type === "string" && (typeof source === "number" || typeof source === "boolean")) {
      this.bad(key, `${quote(String(source))} is ${describe(source)}, where text is needed; put it in quotes`);
      return old;
    }
    return this.#wrong(source, want, old, key);
  }

  #parsed(parse: (text: string) => number, source: string, old: unknown, key: string): unknown {
    try {
      return parse(source);
    } catch (err) {
      this.bad(key, (err as Error).message);
      return old;
    }
  }

  #wrong(source: unknown, want: string, old: unknown, key: string): unknown {
    const kind = describe(source);
    if (source === null) this.bad(key, `no value; it needs ${want}`);
    else if (typeof source === "object" || key.startsWith("secrets")) this.bad(key, `${kind}, where ${want} is needed`); // there it may be one
    else this.bad(key, `${quote(String(source))} is ${kind}, where ${want} is needed`);
    return old;
  }

  #unknown(name: string, parent: string, known: string[]): void {
    const near = nearest(name, known) || this.#elsewhere.get(nearest(name, this.#elsewhere.keys())) || "";
    this.bad(child(parent, name), near ? "unknown key" : "unknown key; the keys here are " + known.join(", "), near);
  }

  /** Notes the full keys of a shape, for hints about misplaced keys. Outer keys go before inner ones. */
  #learn(shape: Shape, key: string): void {
    if (shape.kind !== "fields" || key === "defaults") return;
    for (const name of Object.keys(shape.fields)) {
      const full = child(key, name);
      this.#elsewhere.set(plain(full.replaceAll(".", "")), full);
      if (!this.#elsewhere.has(name)) this.#elsewhere.set(name, full);
    }
    for (const [name, of] of Object.entries(shape.fields)) this.#learn(of, child(key, name));
  }
}

/** Whether a key stands inside another. */
function within(key: string, outer: string): boolean {
  return outer !== "" && key.startsWith(outer) && (key[outer.length] === "." || key[outer.length] === "[");
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object of these entries, also where one is called __proto__. */
function record(entries: [string, unknown][]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  switch (typeof value) {
    case "boolean": return "true or false";
    case "number": return Number.isInteger(value) ? "a whole number" : "a number";
    case "string": return "text";
    case "object": return value === null ? "nothing" : "a mapping";
    default: return "nothing that JSON has";
  }
}
