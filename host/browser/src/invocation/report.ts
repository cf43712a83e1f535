import type { FetchRecord } from "../fetch/types.js";
import type { LogLine } from "../guest/log.js";

/** What an invocation used of one limit. */
export interface Budget {
  name: string; // the manifest's key: fetch.limits.requests
  used: number;
  limit: number;
  unit: "requests" | "bytes" | "ms";
}

/** What the host recorded of one invocation: the same JSON as the server's (host/report.go), and what this host couldn't enforce. */
export interface Report {
  id: string;
  plugin: string;
  version: number; // 0: versions are the server's
  kind: "http" | "raw";
  started: string;
  method: string;
  path: string;
  status: number; // the plugin's, or the failure's
  code?: string; // none if the plugin answered
  detail?: string;
  queue_ms: number; // waiting for its turn and its instance
  guest_ms: number; // the guest itself
  cpu_ms: number; // of that the guest's own execution, by the wall clock
  fetch_ms: number; // with at least one fetch under way
  total_ms: number; // from arrival
  memory: number; // bytes of guest memory at the end
  fetches: FetchRecord[];
  budget: Budget[];
  logs: LogLine[];
  host: "browser" | "node";
  unenforced: string[]; // codes: browser_cpu, and those of fetch/codes.ts
}

/** The time in which at least one of the fetches was under way, in ms. */
export function underWay(fetches: FetchRecord[]): number {
  let total = 0;
  let end = 0;
  for (const f of [...fetches].sort((a, b) => a.start_ms - b.start_ms)) {
    const from = Math.max(f.start_ms, end);
    const to = f.start_ms + f.elapsed_ms;
    if (to <= from) continue;
    total += to - from;
    end = to;
  }
  return round(total);
}

/** Milliseconds to the microsecond. */
export const round = (ms: number): number => Math.round(ms * 1000) / 1000;
