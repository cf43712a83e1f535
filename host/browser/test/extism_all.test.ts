import assert from "node:assert/strict";
import { test } from "node:test";
import type { FetchRequest, Group, Outcome, Session } from "../src/fetch/types.js";
import { ask } from "../src/guest/abi.js";
import { Call } from "../src/guest/call.js";
import { Log } from "../src/guest/log.js";

/** A session that answers without fetching: what is asked for is seen, and answered by what the URL says. */
class FakeSession implements Session {
  group: Group | undefined;

  private outcome({ url }: FetchRequest): Outcome {
    const common = { url, attempts: 1, elapsedMs: 1.23456, redirected: false, headers: [["x-a", "\u00e9"]] as [string, string][] };
    if (url === "bytes") return { state: "fulfilled", response: { ...common, status: 200, body: Uint8Array.of(0xff, 0xfe) } };
    if (url === "cancelled") return { state: "cancelled", error: { code: "cancelled", message: "m", url, attempts: 0, retryable: false } };
    if (url === "status") {
      const response = { ...common, status: 500, body: new Uint8Array() };
      return { state: "rejected", error: { code: "http_status", message: "m", url, attempts: 2, retryable: true, response } };
    }
    return { state: "fulfilled", response: { ...common, status: 200, body: new TextEncoder().encode("\ufeffcaf\u00e9") } };
  }

  start(request: FetchRequest, done: (outcome: Outcome) => void) {
    done(this.outcome(request));
    return { cancel() {}, state: () => "fulfilled" as const };
  }

  startGroup(group: Group, each: (index: number, outcome: Outcome) => void, done: () => void) {
    this.group = group;
    group.requests.forEach((r, i) => each(i, this.outcome(r)));
    done();
    return { cancel() {}, cancelMember() {}, state: () => "fulfilled" as const };
  }

  usage = () => ({ requests: 3, bytes: 7 });
  records = () => [];
  unenforced = () => [];
  close = async () => {};
}

async function fetchAll(input: unknown, session: FakeSession | undefined = new FakeSession(), held = 1 << 20) {
  const call = new Call(session, { body: new Uint8Array() }, { output: 0, requestBytes: 0, held }, new Log(1000));
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : new TextEncoder().encode(JSON.stringify(input));
  const answer = await ask(call, { op: "fetch_all", args: [], bytes, more: new Uint8Array() });
  return { answer: JSON.parse(new TextDecoder().decode(answer!.bytes)), group: session?.group };
}

test("what is asked for reaches the engine, and its outcomes the plugin", async () => {
  const { answer, group } = await fetchAll({
    mode: "quorum", count: 2, concurrency: 8, timeout_ms: 2000, ignored: 1,
    requests: [
      { url: "text", method: "PUT", headers: [["a", "\u00e9"]], body: "x", timeout_ms: 5, attempt_timeout_ms: -1, hedge_ms: 1e300, redirect: "error", expect: "2xx",
        retry: { attempts: 3, backoff_ms: 1, statuses: [503] } },
      { url: "bytes", body_base64: "//4=", body: null }, { url: "status" }, { url: "cancelled" },
    ],
  });
  assert.deepEqual({ ...group, requests: group!.requests.length }, { mode: "quorum", count: 2, concurrency: 8, timeoutMs: 2000, requests: 4 });
  const [first, second] = group!.requests;
  assert.deepEqual(first, {
    method: "PUT", url: "text", headers: [["a", "\u00e9"]], body: new Uint8Array([0x78]), timeoutMs: 5, attemptTimeoutMs: 0, hedgeMs: 0, redirect: "error",
    expect: "2xx", stream: false, retry: { attempts: 3, backoffMs: 1, maxBackoffMs: 0, statuses: [503] },
  });
  assert.deepEqual(second!.body, new Uint8Array([0xff, 0xfe]));
  const head = { status: 200, headers: [["x-a", "\u00e9"]], redirected: false, attempts: 1, elapsed_ms: 1.235 };
  assert.deepEqual(answer, {
    results: [
      { status: "fulfilled", response: { ...head, body: "\ufeffcaf\u00e9", url: "text" } },
      { status: "fulfilled", response: { ...head, body_base64: "//4=", url: "bytes" } },
      { status: "rejected", error: { code: "http_status", message: "m", retryable: true, attempts: 2, response: { ...head, status: 500, body: "", url: "status" } } },
      { status: "cancelled", error: { code: "cancelled", message: "m" } },
    ],
    usage: { requests: 3, bytes: 7 },
  });
  assert.deepEqual((await fetchAll({ requests: [] })).answer.results, []);
});

test("what can't be run is an answer, too", async () => {
  const one = { url: "text" };
  const cases: [unknown, RegExp][] = [
    ["", /no block/], ["{", /isn't fetch_all's JSON/], ["[]", /no object/], [{}, /"requests" is missing/], [{ requests: {} }, /no array/],
    [{ mode: "none", requests: [] }, /unknown mode "none"/], [{ mode: 1, requests: [] }, /"mode" is no string/],
    [{ mode: "quorum", requests: [one] }, /"count" is 0/], [{ mode: "quorum", count: 2, requests: [one] }, /"count" is 2/],
    [{ concurrency: -1, requests: [] }, /below 0/], [{ concurrency: 1.5, requests: [] }, /no whole number/], [{ timeout_ms: "1", requests: [] }, /no number/],
    [{ requests: [one, 1] }, /requests\[1\]: it is no object/], [{ requests: [{ url: 1 }] }, /"url" is no string/],
    [{ requests: [{ ...one, redirect: "back" }] }, /"redirect" is "back"/], [{ requests: [{ ...one, body: "", body_base64: "" }] }, /both/],
    [{ requests: [{ ...one, body_base64: "?" }] }, /isn't base64/], [{ requests: [{ ...one, headers: {} }] }, /no array/],
    [{ requests: [{ ...one, headers: [["a", 1]] }] }, /no \[name, value\]/], [{ requests: [{ ...one, retry: [] }] }, /"retry" is no object/],
    [{ requests: [{ ...one, retry: { statuses: ["x"] } }] }, /no number/], [{ requests: Array(65536).fill(one) }, /more than 65535/],
  ];
  for (const [input, message] of cases) {
    const { error } = (await fetchAll(input)).answer;
    assert.equal(error.code, "invalid_request");
    assert.match(error.message, message);
  }
  const call = new Call(undefined, { body: new Uint8Array() }, { output: 0, requestBytes: 0, held: 0 }, new Log(1000));
  const answer = await ask(call, { op: "fetch_all", args: [], bytes: new Uint8Array([0x7b, 0x7d]), more: new Uint8Array() });
  assert.equal(JSON.parse(new TextDecoder().decode(answer!.bytes)).error.code, "cancelled", "while it is initialised");
});

test("an answer that is longer than the plugin's memory isn't made", async () => {
  const { answer } = await fetchAll({ requests: [{ url: "text" }] }, new FakeSession(), 4);
  assert.equal(answer.error.code, "response_too_large");
});
