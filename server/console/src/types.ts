// The JSON of the server's API; openapi.yaml describes it.

export interface Identity {
  name: string;
  role: string;
  plugins: string[];
  open: boolean;
  build: string;
}

export interface Weight {
  version: number;
  weight: number;
}

export interface PluginInfo {
  name: string;
  version: number;
  digest: string;
  created: string;
  url: string;
  versions: number;
  revision: number;
  traffic: Weight[];
}

export interface VersionInfo {
  version: number;
  digest: string;
  created: string;
  weight: number;
  by: string;
  note: string;
}

export interface Clamped {
  key: string;
  asked: string;
  got: string;
}

export interface Deployed {
  name: string;
  version: number;
  digest: string;
  url: string;
  clamped: Clamped[];
  signer?: string;
}

export type Rule = string | { url: string; methods?: string[]; private?: boolean };

export interface Manifest {
  entry: string;
  access: string;
  isolation: string;
  fetch: { allow: Rule[]; limits: Record<string, string | number>; retry: Record<string, unknown> };
  limits: Record<string, string | number>;
  config: Record<string, unknown>;
  secrets: { name: string; header: string; allow?: string[] }[];
}

export interface EffectiveManifest {
  name: string;
  version: number;
  digest: string;
  manifest: Manifest;
  clamped: Clamped[];
  operator: { private: string[]; hosts: { allow: string[]; deny: string[] } };
}

export interface Explanation {
  version: number;
  method: string;
  url: string;
  allowed: boolean;
  code?: string;
  rule?: string;
  number?: number;
  private: boolean;
  reason: string;
}

export interface InvocationInfo {
  id: string;
  version: number;
  started: string;
  method: string;
  path: string;
  status: number;
  code?: string;
  total_ms: number;
  fetches: number;
}

export interface LogLine {
  time: string;
  level: string;
  message: string;
  invocation: string;
  version: number;
}

export interface Budget {
  name: string;
  used: number;
  limit: number;
  unit: string;
}

export interface Exchange {
  method: string;
  url: string;
  attempt: number;
  hop: number;
  hedge?: boolean;
  status?: number;
  code?: string;
  rule?: string;
  protocol?: string;
  reused: boolean;
  start_ms: number;
  elapsed_ms: number;
  blocked_ms?: number;
  dns_ms?: number;
  connect_ms?: number;
  tls_ms?: number;
  send_ms?: number;
  wait_ms?: number;
  receive_ms?: number;
  sent: number;
  received: number;
  decoded: number;
}

export interface Fetch {
  method: string;
  url: string;
  state: string;
  status?: number;
  code?: string;
  message?: string;
  rule?: string;
  attempts: number;
  hops: number;
  bytes: number;
  cache?: string;
  start_ms: number;
  elapsed_ms: number;
  states: { state: string; at_ms: number }[];
  exchanges: Exchange[];
}

/** An invocation's report, by the server or by the browser host. */
export interface Report {
  id: string;
  plugin: string;
  version: number;
  kind: string;
  started: string;
  method: string;
  path: string;
  status: number;
  code?: string;
  detail?: string;
  queue_ms: number;
  guest_ms: number;
  cpu_ms: number;
  fetch_ms: number;
  total_ms: number;
  memory: number;
  fetches: Fetch[];
  budget: Budget[];
  logs: { time: string; level: string; message: string }[];
  host?: string;
  unenforced?: string[];
}
