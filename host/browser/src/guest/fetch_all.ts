/**
 * fetch_all: a whole group in one call, JSON in and out, for plugins of any Extism PDK (the contract's section 5). What it refuses is an
 * answer, `{"error":{code, message}}`. See host/internal/abi/fetch_all.go.
 */
import type { FetchRequest, FetchResponse, Field, Group, Outcome } from "../fetch/types.js";
import type { Asked } from "./abi.js";
import type { Answer, Call } from "./call.js";
import { bytesOf, latin1, latin1Bytes, textOf } from "./wire.js";
import { received } from "./handles.js";
import { maxHandles, maxJSON } from "./limits.js";

/** What isn't fetch_all's JSON, in words. */
class Malformed extends Error {}

/** fetch_all: JSON -> length, JSON. An input that is no block, or is too long, comes as nothing. */
export async function allFetches(c: Call, { bytes }: Asked): Promise<Answer | undefined> {
  const answer = await run(c, bytes);
  if (c.stopped) return undefined;
  const out = bytesOf(textOfAnswer(answer));
  return { result: out.length, bytes: out };
}

/** JSON can be six times as long as what it holds, and longer than an engine's strings can be. */
function textOfAnswer(answer: object): string {
  try {
    return JSON.stringify(answer);
  } catch (e) {
    if (e instanceof RangeError) return JSON.stringify(tooLong);
    throw e;
  }
}

/** An answer that says why nothing was fetched. */
export const refusal = (code: string, message: string) => ({ error: { code, message } });

const tooLong = refusal("response_too_large", "the answer doesn't fit the plugin's memory (limits.memory)");

async function run(c: Call, bytes: Uint8Array): Promise<object> {
  const session = c.session;
  if (!session) return refusal("cancelled", "nothing can be fetched while the plugin is being initialised");
  if (bytes.length === 0) return refusal("invalid_request", `the input is no block of 1 to ${maxJSON} bytes`);
  let group: Group;
  try {
    group = readGroup(JSON.parse(textOf(bytes)));
  } catch (e) {
    if (e instanceof SyntaxError) return refusal("invalid_request", `the input isn't fetch_all's JSON: ${e.message}`);
    if (e instanceof Malformed) return refusal("invalid_request", e.message);
    throw e;
  }
  const outcomes: Outcome[] = [];
  if (group.requests.length > 0) {
    await c.blocking(
      new Promise<void>((done) => session.startGroup(group, (i, outcome) => (outcomes[i] = outcome), done)),
    );
  }
  if (c.stopped) return {};
  const total = outcomes.reduce((n, outcome) => n + (received(outcome)?.body.length ?? 0), 0);
  if (total > c.limits.held) return tooLong;
  return { results: outcomes.map(result), usage: session.usage() };
}

type JSONObject = Record<string, unknown>;

function readGroup(q: unknown): Group {
  const o = object(q, "the input");
  const mode = text(o, "mode") || "all";
  if (!["all", "all_settled", "any", "race", "quorum"].includes(mode)) {
    throw new Malformed(`unknown mode ${JSON.stringify(mode)}; there are all, all_settled, any, race and quorum`);
  }
  const requests = o.requests;
  if (requests === undefined || requests === null) throw new Malformed(`"requests" is missing`);
  if (!Array.isArray(requests)) throw new Malformed(`"requests" is no array`);
  if (requests.length > maxHandles - 1) throw new Malformed(`"requests" has more than ${maxHandles - 1} entries`);
  const group: Group = {
    mode: mode as Group["mode"], count: whole(o, "count"), concurrency: whole(o, "concurrency"), timeoutMs: ms(o, "timeout_ms"), requests: [],
  };
  if (mode === "quorum" && (group.count < 1 || group.count > requests.length)) {
    throw new Malformed(`"count" is ${group.count}; a quorum needs one from 1 to the ${requests.length} requests`);
  }
  if (group.concurrency < 0) throw new Malformed(`"concurrency" is below 0`);
  requests.forEach((one, i) => {
    try {
      group.requests.push(readRequest(object(one, "it")));
    } catch (e) {
      throw e instanceof Malformed ? new Malformed(`requests[${i}]: ${e.message}`) : e;
    }
  });
  return group;
}

function readRequest(o: JSONObject): FetchRequest {
  const redirect = text(o, "redirect") || "follow";
  if (redirect !== "follow" && redirect !== "manual" && redirect !== "error") {
    throw new Malformed(`"redirect" is ${JSON.stringify(redirect)}; it is follow, manual or error`);
  }
  const request: FetchRequest = {
    method: text(o, "method"), url: text(o, "url"), headers: headers(o.headers), redirect, expect: text(o, "expect"), stream: false,
    timeoutMs: ms(o, "timeout_ms"), attemptTimeoutMs: ms(o, "attempt_timeout_ms"), hedgeMs: ms(o, "hedge_ms"),
  };
  const body = o.body ?? undefined;
  const coded = o.body_base64 ?? undefined;
  if (body !== undefined && coded !== undefined) throw new Malformed(`both "body" and "body_base64" are given`);
  if (body !== undefined) request.body = bytesOf(text(o, "body"));
  else if (coded !== undefined) request.body = fromBase64(text(o, "body_base64"));
  if (o.retry !== undefined && o.retry !== null) {
    const r = object(o.retry, `"retry"`);
    request.retry = { attempts: whole(r, "attempts"), backoffMs: ms(r, "backoff_ms"), maxBackoffMs: ms(r, "max_backoff_ms") };
    if (Array.isArray(r.statuses)) request.retry.statuses = r.statuses.map((_, i) => whole(r.statuses as JSONObject, i as never));
    else if (r.statuses !== undefined && r.statuses !== null) throw new Malformed(`"statuses" is no array`);
  }
  return request;
}

function object(v: unknown, name: string): JSONObject {
  if (typeof v !== "object" || v === null || Array.isArray(v)) throw new Malformed(`${name} is no object`);
  return v as JSONObject;
}

function text(o: JSONObject, key: string): string {
  const v = o[key] ?? "";
  if (typeof v !== "string") throw new Malformed(`"${key}" is no string`);
  return v;
}

function number(o: JSONObject, key: string): number {
  const v = o[key] ?? 0;
  if (typeof v !== "number") throw new Malformed(`"${key}" is no number`);
  return v;
}

function whole(o: JSONObject, key: string): number {
  const v = number(o, key);
  if (!Number.isSafeInteger(v)) throw new Malformed(`"${key}" is no whole number`);
  return v;
}

/** Milliseconds; what no duration can hold, and what is below 0, is 0: the policy's own. */
function ms(o: JSONObject, key: string): number {
  const v = number(o, key);
  return v > 0 && v < 2 ** 63 / 1e6 ? v : 0;
}

function headers(v: unknown): Field[] {
  if (v === undefined || v === null) return [];
  if (!Array.isArray(v)) throw new Malformed(`"headers" is no array`);
  return v.map((pair) => {
    if (!Array.isArray(pair)) throw new Malformed(`"headers" has an entry that is no [name, value]`);
    const [name = "", value = ""] = pair as unknown[];
    if (typeof name !== "string" || typeof value !== "string") throw new Malformed(`"headers" has an entry that is no [name, value]`);
    return [name, value];
  });
}

function result(outcome: Outcome): object {
  if (outcome.state === "fulfilled") return { status: "fulfilled", response: response(outcome.response) };
  const { code, message, retryable, attempts, response: attached } = outcome.error;
  const error = outcome.state === "cancelled" ? { code, message } : { code, message, retryable, attempts };
  return { status: outcome.state, error: attached ? { ...error, response: response(attached) } : error };
}

function response(r: FetchResponse): object {
  return {
    status: r.status,
    headers: r.headers,
    ...bodyOf(r.body),
    url: r.url, redirected: r.redirected, attempts: r.attempts, elapsed_ms: Math.round(r.elapsedMs * 1000) / 1000,
  };
}

/** A body as text, or where it isn't valid UTF-8, in base64. */
function bodyOf(bytes: Uint8Array): { body: string } | { body_base64: string } {
  try {
    return { body: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { body_base64: btoa(latin1(bytes)) };
  }
}

function fromBase64(s: string): Uint8Array {
  try {
    return latin1Bytes(atob(s));
  } catch {
    throw new Malformed(`"body_base64" isn't base64`);
  }
}
