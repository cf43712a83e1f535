/** Decides what an invocation's end means: the first limit reached wins, then what the guest did. See host/run.go. */
import type { Call } from "../guest/call.js";
import { error as errorLevel } from "../guest/log.js";
import type { Log } from "../guest/log.js";
import type { Ended } from "../guest/protocol.js";
import { formatBytes, formatDuration } from "../manifest/index.js";
import type { Limits } from "../manifest/index.js";
import type { Cut } from "./life.js";
import { SortieError } from "./problem.js";

/** Why there is no answer; undefined: there is one. */
export function failureOf(call: Call, end: Ended, cut: Cut | undefined, raw: boolean, limits: Limits): SortieError | undefined {
  const returned = end.end === "returned" || (raw && end.end === "exited" && end.result === 0);
  if (call.over) return new SortieError(call.over.code, call.over.detail);
  if (call.requestError instanceof SortieError) return call.requestError;
  if (returned && end.result === 0 && end.said === "" && call.response) return undefined;
  if (end.end === "stopped") return cut ? cutError(cut, limits) : new SortieError("internal_error", "the plugin's worker has ended by itself");
  if (end.refused > 0 || end.memory > limits.memory) {
    const asked = Math.max(end.refused, end.memory);
    return new SortieError("limit_memory", `the plugin needed ${asked} bytes of memory and failed without; limits.memory is ${formatBytes(limits.memory)}`);
  }
  return failed(call, end, raw);
}

/** The error for an invocation that was cut short. */
export function cutError(cut: Cut, limits: Limits): SortieError {
  switch (cut) {
    case "wall":
      return new SortieError("limit_wall", `no answer within limits.wall (${formatDuration(limits.wall)})`);
    case "stream":
      return new SortieError("limit_wall", `the response took longer than limits.stream (${formatDuration(limits.stream)})`);
    case "cpu":
      return new SortieError("limit_cpu", `the plugin computed for longer than limits.cpu (${formatDuration(limits.cpu)} in its manifest)`);
    case "closed":
      return new SortieError("draining", "the plugin has been closed; the invocation was cut off");
    case "gone":
      return new SortieError("cancelled", "the caller has gone");
  }
}

/** For a guest that failed by itself. */
function failed(call: Call, end: Ended, raw: boolean): SortieError {
  const said = end.said || end.failure;
  const gaveUp = lineOfGo(call.log);
  const error = (detail: string) => new SortieError("plugin_error", detail);
  if (end.end === "exited") return error(`the plugin exited with status ${end.result}${said ? `: ${said}` : lastPrinted(call.log)}`);
  if (end.end === "trapped" && !raw && gaveUp) return error(`the plugin gave up: ${gaveUp}`);
  if (end.end === "trapped") {
    call.log.add(errorLevel, end.message);
    const why = end.overflow ? "its call stack is exhausted (runaway recursion?)" : brief(end.message);
    return new SortieError("plugin_trapped", `the plugin trapped: ${why}`);
  }
  if (said) return error(said);
  if (end.result !== 0) return error(`the plugin returned ${end.result >>> 0}`);
  return error("the plugin returned without having answered");
}

const brief = (s: string): string => bounded(s.split("\n")[0]!);

function bounded(s: string): string {
  return s.length > 300 ? s.slice(0, 300) + "…" : s;
}

/** The line with which Go's runtime says why it ends the program, which it does with a trap; "": there is none. */
function lineOfGo(log: Log): string {
  const line = log.lines.find((l) => l.level === "warn" && /^(panic|fatal error): /.test(l.message));
  return line ? bounded(line.message) : "";
}

/** The line that tells most of what a guest printed before it ended, as the end of a sentence. */
function lastPrinted(log: Log): string {
  const last = lineOfGo(log) || log.lines.findLast((l) => l.level === "warn" && l.message !== "")?.message;
  return last ? `: ${bounded(last)}` : "";
}
