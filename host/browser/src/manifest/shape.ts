/** What kinds of values a manifest and an operator's configuration have where. */

export type Shape =
  | { kind: "text" | "truth" | "count" | "duration" | "size" | "any" | "rule" }
  | { kind: "list" | "map"; of: Shape }
  | { kind: "fields"; fields: Record<string, Shape>; fresh?: () => object }; // fresh: optional; null, or what it is laid over

const text: Shape = { kind: "text" }, truth: Shape = { kind: "truth" }, count: Shape = { kind: "count" };
const duration: Shape = { kind: "duration" }, size: Shape = { kind: "size" };
const texts: Shape = { kind: "list", of: text };

const fields = (of: Record<string, Shape>): Shape => ({ kind: "fields", fields: of });
const every = (names: string, shape: Shape) => Object.fromEntries(names.split(" ").map((name) => [name, shape]));

const fetchLimits = fields({
  ...every("requests concurrency", count),
  ...every("timeout connect_timeout write_timeout read_timeout pool_timeout attempt_timeout", duration),
  ...every("request_bytes response_bytes total_bytes", size), redirects: count,
});
const limits = fields({ ...every("wall stream cpu", duration), ...every("memory input output log", size) });
const amounts = { attempts: count, backoff: duration, max_backoff: duration };
const sample = { method: text, path: text, body: text };

/** What a rule has in its long form. */
export const ruleShape = fields({ url: text, methods: texts, private: truth });

export const manifestShape = fields({
  name: text, wasm: text, entry: text, access: text,
  fetch: fields({
    allow: { kind: "list", of: { kind: "rule" } },
    limits: fetchLimits,
    retry: fields({ ...amounts, statuses: { kind: "list", of: count } }),
    hedge: text,
    cache: fields({ bytes: size, coalesce: truth }),
  }),
  limits,
  isolation: text,
  config: { kind: "map", of: { kind: "any" } },
  warmup: { kind: "fields", fields: sample, fresh: () => ({ method: "GET", path: "/", body: "" }) },
  secrets: { kind: "list", of: { kind: "fields", fields: { name: text, header: text, format: text, allow: texts } } },
  smoke: {
    kind: "fields", fields: { ...sample, headers: { kind: "map", of: text }, status: count },
    fresh: () => ({ method: "GET", path: "/", body: "", headers: {}, status: 0 }),
  },
  sticky: fields({ header: text, cookie: text }),
  cors: fields({ ...every("origins methods headers expose", texts), credentials: truth, max_age: duration }),
});

export const operatorShape = fields({
  private: texts,
  hosts: fields({ allow: texts, deny: texts }),
  ceilings: fields({ fetch: fields({ limits: fetchLimits, retry: fields(amounts), cache: fields({ bytes: size }) }), limits }),
  defaults: manifestShape,
  process: fields({ fetches: count, per_origin: count }),
  upstreams: { kind: "list", of: { kind: "any" } },
});

/** A value of a shape that has none yet: what is empty, or null where the shape is optional. */
export function empty(shape: Shape): unknown {
  switch (shape.kind) {
    case "text": return "";
    case "truth": return false;
    case "count": case "duration": case "size": return 0;
    case "list": return [];
    case "map": return {};
    case "rule": return { url: "", methods: [], private: false };
    case "any": return null;
    case "fields":
      return shape.fresh ? null : Object.fromEntries(Object.entries(shape.fields).map(([name, of]) => [name, empty(of)]));
  }
}
