import { formatBytes, formatDuration } from "./units.js";
import type { Clamp, Manifest } from "./types.js";

/** One number that a manifest asks for and a ceiling bounds. */
export interface Amount {
  key: string; // such as fetch.limits.requests
  least: number;
  most: number;
  none?: boolean; // zero is no limit
  show(value: number): string;
}

const maxCount = 2 ** 31 - 1, maxDuration = 8760 * 36e5, maxSize = 2 ** 50; // beyond it a value is a mistake
const ceilingFactor = 16; // how often its default an amount without a listed ceiling may be
const cacheCeiling = 64 * 2 ** 20; // of the cache: off by default, and sixteen times that is off as well

const counted = (least: number) => ({ least, most: maxCount, show: String });
const lasting = (least: number) => ({ least, most: maxDuration, show: formatDuration });
const sized = (least: number) => ({ least, most: maxSize, show: formatBytes });

/** Every amount of a manifest. A time limit of zero would stop everything, so only attempt_timeout has a zero, which means none. */
export const amounts: Amount[] = [
  { key: "fetch.limits.requests", ...counted(0) },
  { key: "fetch.limits.concurrency", ...counted(1) },
  { key: "fetch.limits.timeout", ...lasting(1) },
  { key: "fetch.limits.connect_timeout", ...lasting(1) },
  { key: "fetch.limits.write_timeout", ...lasting(1) },
  { key: "fetch.limits.read_timeout", ...lasting(1) },
  { key: "fetch.limits.pool_timeout", ...lasting(1) },
  { key: "fetch.limits.attempt_timeout", ...lasting(0), none: true },
  { key: "fetch.limits.request_bytes", ...sized(0) },
  { key: "fetch.limits.response_bytes", ...sized(0) },
  { key: "fetch.limits.total_bytes", ...sized(0) },
  { key: "fetch.limits.redirects", ...counted(0) },
  { key: "fetch.retry.attempts", ...counted(1) },
  { key: "fetch.retry.backoff", ...lasting(0) },
  { key: "fetch.retry.max_backoff", ...lasting(0) },
  { key: "fetch.cache.bytes", ...sized(0) },
  { key: "limits.wall", ...lasting(1) },
  { key: "limits.stream", ...lasting(1) },
  { key: "limits.cpu", ...lasting(1) },
  { key: "limits.memory", ...sized(64 << 10) },
  { key: "limits.input", ...sized(0) },
  { key: "limits.output", ...sized(0) },
  { key: "limits.log", ...sized(0) },
];

/** Says what is wrong with a value, or "". */
export function wrongAmount(a: Amount, value: number): string {
  if (value < 0) return `${a.show(value)}; it can't be negative`;
  if (value < a.least) return `${a.show(value)}; it is ${a.show(a.least)} at least`;
  return value > a.most ? `${a.show(value)}; it is ${a.show(a.most)} at most` : "";
}

/** The value at a dotted key. */
export function at(root: unknown, key: string): any {
  return key.split(".").reduce((value: any, part) => value?.[part], root);
}

function put(root: any, key: string, value: number): void {
  const parts = key.split("."), last = parts.pop()!;
  at(root, parts.join("."))[last] = value;
}

/**
 * Lowers what passes a ceiling: the one listed, or else the default's times 16. It gives what the manifest itself asked for; a default
 * above a ceiling is nothing its author can mend. A listed zero that means no limit is no ceiling.
 */
export function clamp(m: Manifest, asked: Set<string>, listed: Map<string, number>, documented: Manifest, defaults: Manifest): Clamp[] {
  const clamped: Clamp[] = [];
  for (const a of amounts) {
    const value = at(m, a.key);
    let ceiling = listed.get(a.key);
    if (a.none && !ceiling) continue;
    if (ceiling === undefined) {
      const usual = a.key === "fetch.cache.bytes" ? cacheCeiling : at(documented, a.key) * ceilingFactor;
      ceiling = Math.max(usual, at(defaults, a.key)); // an operator whose own default is higher means it
    }
    if (value <= ceiling && !(a.none && value === 0)) continue;
    put(m, a.key, ceiling);
    if (asked.has(a.key)) clamped.push({ key: a.key, asked: a.show(value), got: a.show(ceiling) });
  }
  return clamped;
}
