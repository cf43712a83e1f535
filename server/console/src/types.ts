// The JSON of the server's API; openapi.yaml describes it.
import type { Budget, Exchange, FetchRecord, Report as LocalReport } from "@sortie/browser";

export type { Budget, Exchange };

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

/** What was recorded of one fetch; the server's says too what its cache had to do with it. */
export type Fetch = FetchRecord & { cache?: string };

/** An invocation's report, by the server or by the browser host, which says what it couldn't enforce. */
export type Report = Omit<LocalReport, "fetches" | "host" | "unenforced"> & Partial<Pick<LocalReport, "host" | "unenforced">> & { fetches: Fetch[] };
