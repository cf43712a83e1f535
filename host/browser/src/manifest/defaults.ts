import type { Manifest } from "./types.js";

const second = 1000, KiB = 1024, MiB = 1024 * KiB;

/** The documented defaults: what an empty manifest means. The caller owns the result. */
export function defaultManifest(): Manifest {
  return {
    name: "",
    wasm: "plugin.wasm",
    entry: "handle",
    access: "token",
    fetch: {
      allow: [],
      limits: {
        requests: 64, concurrency: 16, timeout: 10 * second, connect_timeout: 3 * second, write_timeout: 10 * second,
        read_timeout: 10 * second, pool_timeout: 5 * second, attempt_timeout: 0, request_bytes: MiB, response_bytes: 8 * MiB,
        total_bytes: 32 * MiB, redirects: 10,
      },
      retry: { attempts: 1, backoff: 100, max_backoff: 2 * second, statuses: [408, 425, 429, 500, 502, 503, 504] },
      hedge: "",
      cache: { bytes: 0, coalesce: false },
    },
    limits: { wall: 30 * second, stream: 300 * second, cpu: second, memory: 128 * MiB, input: MiB, output: 16 * MiB, log: 64 * KiB },
    isolation: "fresh",
    config: {},
    warmup: null,
    secrets: [],
    smoke: null,
    sticky: { header: "", cookie: "" },
    cors: { origins: [], methods: [], headers: [], expose: [], credentials: false, max_age: 0 },
  };
}
