/**
 * What a manifest and an operator's configuration hold once they were read: every default filled in, durations in
 * milliseconds and sizes in bytes. See host/manifest for the server's.
 */

/** A plugin's plugin.yaml. */
export interface Manifest {
  name: string; // "": none was given
  wasm: string;
  entry: string;
  access: string; // "token" or "public"; says nothing here
  fetch: FetchPolicy;
  limits: Limits;
  isolation: string; // "fresh" or "pooled"
  config: Record<string, unknown>;
  warmup: SampleRequest | null;
  secrets: Secret[];
  smoke: Smoke | null;
  sticky: { header: string; cookie: string };
  cors: CORS;
}

export interface FetchPolicy {
  allow: Rule[];
  limits: FetchLimits;
  retry: RetryPolicy;
  hedge: string; // "", "p95" or a duration
  cache: { bytes: number; coalesce: boolean }; // not enforced: the engine has no cache
}

export interface Rule {
  url: string; // in canonical form
  methods: string[]; // upper case, sorted; none: all
  private: boolean;
}

/** Limits of one invocation's fetches. connect_timeout can't be held to: fetch() doesn't tell when there is a connection. */
export interface FetchLimits {
  requests: number;
  concurrency: number;
  timeout: number;
  connect_timeout: number;
  write_timeout: number;
  read_timeout: number;
  pool_timeout: number;
  attempt_timeout: number; // 0: none
  request_bytes: number;
  response_bytes: number;
  total_bytes: number;
  redirects: number;
}

export interface RetryPolicy {
  attempts: number;
  backoff: number;
  max_backoff: number;
  statuses: number[];
}

export interface Limits {
  wall: number;
  stream: number;
  cpu: number;
  memory: number;
  input: number;
  output: number;
  log: number;
}

export interface SampleRequest {
  method: string;
  path: string;
  body: string;
}

export interface Smoke extends SampleRequest {
  headers: Record<string, string>;
  status: number;
}

export interface Secret {
  name: string;
  header: string;
  format: string;
  allow: string[]; // none: wherever the operator allows
}

export interface CORS {
  origins: string[];
  methods: string[];
  headers: string[];
  expose: string[];
  credentials: boolean;
  max_age: number;
}

/** A value that a manifest asked for and did not get, with its unit. */
export interface Clamp {
  key: string;
  asked: string;
  got: string;
}

/** A manifest as its author writes it: any part of it, amounts as "10s", "1MiB" or numbers of bytes. */
export type ManifestInput = object;

/** The part of an operator's configuration that has a meaning in a page; keys and forms as in sortie.yaml. */
export interface OperatorInput {
  private?: string[]; // where a rule with `private: true` may reach private addresses: origins and CIDRs
  hosts?: { allow?: string[]; deny?: string[] }; // over all manifests
  ceilings?: object; // what a manifest can ask for at most; what isn't listed has the manifest's default × 16
  defaults?: ManifestInput; // of what a manifest leaves out
  process?: { fetches?: number; per_origin?: number }; // in flight at once, over all of a client's sessions
  upstreams?: object[]; // taken and not enforced: code browser_upstreams
}
