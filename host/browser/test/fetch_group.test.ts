import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { Group, GroupCall, Outcome } from "../src/fetch/index.js";
import { bench, request, Upstream, type Bench, type ServerResponse } from "./fetch_bench.js";

/** An upstream that answers /ok at once, breaks /bad, and never answers /slow. */
function upstream(t: TestContext): Promise<Upstream> {
  return Upstream.open(t, (req, res) => {
    if (req.url!.startsWith("/ok")) res.end();
    else if (req.url!.startsWith("/bad")) res.destroy();
  });
}

interface Run {
  call: GroupCall;
  over: Promise<Outcome[]>;
  order: number[];
}

function run(b: Bench, url: string, paths: string[], of: Partial<Group>): Run {
  const outcomes: Outcome[] = [], order: number[] = [];
  let call!: GroupCall;
  const over = new Promise<Outcome[]>((resolve) => {
    const group: Group = { mode: "all", count: 0, concurrency: 0, timeoutMs: 0, requests: paths.map((path) => request({ url: url + path })), ...of };
    call = b.session.startGroup(group, (i, outcome) => {
      assert.equal(outcomes[i], undefined, "told twice");
      outcomes[i] = outcome;
      order.push(i);
    }, () => resolve(outcomes));
  });
  return { call, over, order };
}

const states = (outcomes: Outcome[]) => outcomes.map((o) => (o.state === "fulfilled" ? "ok" : o.error.code));

describe("groups", () => {
  for (const [name, paths, of, want] of [
    ["all: none fails", ["/ok", "/ok"], { mode: "all" }, ["ok", "ok"]],
    ["all: the first failure cancels the rest", ["/slow", "/bad", "/slow"], { mode: "all" }, ["cancelled", "read_error", "cancelled"]],
    ["all_settled: nothing decides", ["/ok", "/bad", "/ok"], { mode: "all_settled" }, ["ok", "read_error", "ok"]],
    ["any: the first success cancels the rest", ["/slow", "/bad", "/ok"], { mode: "any" }, ["cancelled", "read_error", "ok"]],
    ["any: none succeeds", ["/bad", "/bad"], { mode: "any" }, ["read_error", "read_error"]],
    ["race: a failure wins too", ["/slow", "/bad", "/slow"], { mode: "race" }, ["cancelled", "read_error", "cancelled"]],
    ["quorum: so many successes cancel the rest", ["/ok", "/slow", "/ok"], { mode: "quorum", count: 2 }, ["ok", "cancelled", "ok"]],
    ["quorum: it can't be reached any more", ["/bad", "/slow", "/bad"], { mode: "quorum", count: 2 }, ["read_error", "cancelled", "read_error"]],
    ["a timeout rejects what is unfinished", ["/ok", "/slow"], { mode: "all_settled", timeoutMs: 500 }, ["ok", "timeout"]],
    ["without members it is over", [], { mode: "all" }, []],
  ] as [string, string[], Partial<Group>, string[]][]) {
    test(name, async (t) => {
      const up = await upstream(t), b = bench(t);
      const { over } = run(b, up.url, paths, of);
      assert.deepEqual(states(await over), want);
      await up.until(() => up.aborted >= up.requests.filter((r) => r.path === "/slow").length);
      assert.deepEqual([b.session.slots.used, b.client.slots.used], [0, 0]);
    });
  }

  test("the losers' messages say why", async (t) => {
    const up = await upstream(t), b = bench(t);
    const [slow] = await run(b, up.url, ["/slow", "/ok"], { mode: "any" }).over;
    assert.equal(slow!.state === "cancelled" && slow!.error.message, "cancelled because its group is decided");
    const [late] = await run(b, up.url, ["/slow"], { timeoutMs: 50 }).over;
    assert.equal(late!.state === "rejected" && late!.error.message, "the group wasn't over within its timeout, 50ms");
  });

  for (const [name, of] of [
    ["an unknown mode", { mode: "some" as "all" }], ["a quorum of none", { mode: "quorum", count: 0 }], ["a quorum of too many", { mode: "quorum", count: 3 }],
    ["negative concurrency", { concurrency: -1 }], ["negative timeout", { timeoutMs: -1 }],
  ] as [string, Partial<Group>][]) {
    test(`${name} has every member rejected`, async (t) => {
      const up = await upstream(t), b = bench(t);
      assert.deepEqual(states(await run(b, up.url, ["/ok", "/ok"], of).over), ["invalid_request", "invalid_request"]);
      assert.equal(up.requests.length, 0);
      assert.equal(b.session.usage().requests, 0);
    });
  }

  test("as many at once as it says, in order", async (t) => {
    const waiting: ServerResponse[] = [];
    let most = 0;
    const up: Upstream = await Upstream.open(t, (_, res) => {
      waiting.push(res);
      most = Math.max(most, waiting.length);
      while (waiting.length >= 3 || (up.requests.length > 9 && waiting.length > 0)) waiting.shift()!.end(); // each but the last three waits for two others
    });
    const b = bench(t);
    const { over, order } = run(b, up.url, Array.from({ length: 12 }, (_, i) => "/" + i), { mode: "all", concurrency: 3 });
    assert.deepEqual(states(await over), new Array(12).fill("ok"));
    assert.equal(most, 3);
    assert.equal(order.length, 12);
  });

  test("one decided before its turn never ran", async (t) => {
    const up = await upstream(t), b = bench(t);
    const { over } = run(b, up.url, ["/bad", "/ok", "/ok"], { mode: "all", concurrency: 1 });
    assert.deepEqual(states(await over), ["read_error", "cancelled", "cancelled"]);
    assert.deepEqual(b.session.records()[1]!.states.map((s) => s.state), ["pending", "cancelled"]);
    assert.equal(b.session.usage().requests, 1);
  });

  test("denials settle at once, and count", async (t) => {
    const up = await upstream(t), b = bench(t);
    assert.deepEqual(states(await run(b, "", ["https://:1/", up.url + "/slow"], { mode: "race" }).over), ["invalid_url", "cancelled"]);
  });

  test("more than the budget are rejected one by one", async (t) => {
    const up = await upstream(t), b = bench(t, { limits: { requests: 2 } });
    assert.deepEqual(states(await run(b, up.url, ["/ok", "/ok", "/ok"], { mode: "all_settled" }).over), ["ok", "ok", "limit_requests"]);
  });

  test("cancelling one, running or not", async (t) => {
    const up = await upstream(t), b = bench(t);
    const { call, over } = run(b, up.url, ["/slow", "/ok", "/slow"], { mode: "all_settled", concurrency: 1 });
    await up.until(() => up.requests.length === 1);
    assert.deepEqual([0, 1, 2].map((i) => call.state(i)), ["running", "pending", "pending"]);
    call.cancelMember(2);
    call.cancelMember(2);
    call.cancelMember(0);
    assert.deepEqual(states(await over), ["cancelled", "ok", "cancelled"]);
    assert.deepEqual([0, 1, 2].map((i) => call.state(i)), ["cancelled", "fulfilled", "cancelled"]);
    assert.equal(up.requests.length, 2);
  });

  test("cancelling all, and closing the session", async (t) => {
    const up = await upstream(t), b = bench(t);
    const one = run(b, up.url, ["/slow", "/slow"], { concurrency: 1 });
    await up.until(() => up.requests.length === 1);
    one.call.cancel();
    assert.deepEqual(states(await one.over), ["cancelled", "cancelled"]);
    const two = run(b, up.url, ["/slow", "/slow"], {});
    await up.until(() => up.requests.length === 3);
    await b.session.close();
    assert.deepEqual(states(await two.over), ["cancelled", "cancelled"]);
    await up.until(() => up.aborted === 3);
  });
});
