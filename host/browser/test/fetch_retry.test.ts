import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { OriginState } from "../src/fetch/origin.js";
import { bench, failedWith, streamOf, text, Upstream } from "./fetch_bench.js";

describe("retrying", () => {
  const retry = { attempts: 3, backoff: "1ms", max_backoff: "2ms" };

  test("statuses, until there is another", async (t) => {
    const up: Upstream = await Upstream.open(t, (_, res) => res.writeHead(up.requests.length < 3 ? 503 : 200).end("body"));
    const b = bench(t, { retry }), r = await b.ok({ url: up.url });
    assert.deepEqual([r.status, r.attempts, text(r.body)], [200, 3, "body"]);
    assert.deepEqual(b.session.usage(), { requests: 3, bytes: 4 });
    const [record] = b.session.records();
    assert.deepEqual(record!.exchanges.map((x) => [x.attempt, x.status, x.hop]), [[1, 503, 0], [2, 503, 0], [3, 200, 0]]);
    assert.deepEqual(record!.states.map((s) => s.state), ["pending", "running", "fulfilled"]);
  });

  test("the last answer is the answer", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(503).end("busy"));
    const r = await bench(t, { retry }).ok({ url: up.url });
    assert.deepEqual([r.status, r.attempts, text(r.body), up.requests.length], [503, 3, "busy", 3]);
  });

  for (const [name, of, requests] of [
    ["not what isn't idempotent", { method: "POST" }, 1],
    ["what has a key", { method: "POST", headers: [["Idempotency-Key", "1"]] }, 3],
    ["as the guest says", { retry: { attempts: 2, backoffMs: 1 } }, 2],
    ["not at all, as the guest says", { retry: { attempts: 1 } }, 1],
    ["no statuses, as the guest says", { retry: { statuses: [] } }, 1],
    ["other statuses, as the guest says", { retry: { statuses: [500] } }, 1],
  ] as const) {
    test(name, async (t) => {
      const up = await Upstream.open(t, (_, res) => res.writeHead(503).end());
      await bench(t, { retry }).ok({ url: up.url, ...(of as object) });
      assert.equal(up.requests.length, requests);
    });
  }

  test("failures, and the attempts stand in the error", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.destroy());
    const b = bench(t, { retry }), failure = await b.fails("read_error", { url: up.url });
    assert.deepEqual([failure.attempts, up.requests.length, b.session.usage().requests], [3, 3, 3]);
    assert.equal((await b.fails("read_error", { url: up.url, method: "POST" })).attempts, 1);
  });

  test("attempts that took too long", async (t) => {
    const up: Upstream = await Upstream.open(t, (_, res) => void (up.requests.length !== 2 && res.end()));
    const b = bench(t, { retry });
    await b.warm(up.url);
    const r = await b.ok({ url: up.url, attemptTimeoutMs: 400 });
    assert.equal(r.attempts, 2);
    await up.until(() => up.aborted === 1);
  });

  test("every attempt is charged", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(503).end());
    const b = bench(t, { retry, limits: { requests: 2 } });
    assert.equal((await b.fails("limit_requests", { url: up.url })).attempts, 2);
    assert.equal(up.requests.length, 2);
  });

  for (const [name, after] of [["seconds", () => "1"], ["a date", () => new Date(Date.now() + 2000).toUTCString()]] as const) {
    test(`waits as Retry-After says, in ${name}`, async (t) => {
      const times: number[] = [];
      const up = await Upstream.open(t, (_, res) => {
        times.push(performance.now());
        res.writeHead(times.length === 1 ? 503 : 200, { "retry-after": after() }).end();
      });
      await bench(t, { retry }).ok({ url: up.url });
      assert(times[1]! - times[0]! >= 900, `${times[1]! - times[0]!} ms`);
    });
  }

  test("not where there is no time for it", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(503, { "retry-after": "60" }).end());
    const start = performance.now(), r = await bench(t, { retry }).ok({ url: up.url, timeoutMs: 2000 });
    assert.deepEqual([r.status, r.attempts], [503, 1]);
    assert(performance.now() - start < 1500);
  });

  test("gives the slot to others while it waits", async (t) => {
    const up = await Upstream.open(t, (req, res) => res.writeHead(req.url === "/busy" ? 503 : 200, { "retry-after": "4" }).end());
    const b = bench(t, { retry: { ...retry, attempts: 2 }, limits: { concurrency: 1 } });
    const busy = b.go({ url: up.url + "/busy" });
    await up.until(() => up.requests.length === 1);
    await b.ok({ url: up.url + "/other", timeoutMs: 2500 });
    await b.session.close();
    failedWith("cancelled", await busy); // the wait ends too
  });

  test("not what found no slot", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { retry, limits: { concurrency: 1, pool_timeout: "30ms" } });
    void b.go({ url: up.url });
    const start = performance.now();
    await b.fails("pool_timeout", { url: up.url });
    assert(performance.now() - start < 1000);
    assert.equal(b.session.records()[1]!.exchanges.length, 1);
  });

  test("not a stream that was begun when the connection broke", async (t) => {
    const up = await Upstream.open(t, (req, res) => {
      req.resume();
      req.on("end", () => res.destroy());
    });
    assert.equal((await bench(t, { retry }).fails("read_error", { url: up.url, method: "PUT", bodyStream: streamOf("a", "b") })).attempts, 1);
    assert.equal(up.requests.length, 1);
  });

  test("what was begun as a stream isn't sent again", async (t) => {
    const up = await Upstream.open(t, (req, res) => {
      req.resume();
      req.on("end", () => res.writeHead(503).end());
    });
    assert.equal((await bench(t, { retry }).ok({ url: up.url, method: "PUT", bodyStream: streamOf("a", "b") })).status, 503);
    assert.equal(up.requests.length, 1);
  });
});

describe("hedging", () => {
  test("the first answer wins and the other attempt is cancelled", async (t) => {
    const up: Upstream = await Upstream.open(t, (_, res) => void (up.requests.length > 1 && res.end("second")));
    const b = bench(t), r = await b.ok({ url: up.url, hedgeMs: 30 });
    assert.deepEqual([text(r.body), r.attempts, b.session.usage().requests], ["second", 2, 2]);
    await up.until(() => up.aborted === 1);
    const [record] = b.session.records();
    assert.deepEqual(record!.exchanges.map((x) => [x.attempt, x.hedge ?? false, x.code ?? x.status]), [[1, false, "cancelled"], [2, true, 200]]);
    assert.equal(b.session.slots.used, 0);
  });

  test("not if the first is fast, nor for what isn't idempotent", async (t) => {
    const up = await Upstream.open(t, (req, res) => void setTimeout(() => res.end(), req.method === "POST" ? 60 : 0));
    const b = bench(t, { hedge: "30ms" });
    await b.ok({ url: up.url, hedgeMs: 1000 });
    await b.ok({ url: up.url, method: "POST" });
    assert.equal(up.requests.length, 2);
  });

  test("as the policy says", async (t) => {
    const up: Upstream = await Upstream.open(t, (_, res) => void (up.requests.length > 1 && res.end()));
    assert.equal((await bench(t, { hedge: "30ms" }).ok({ url: up.url })).attempts, 2);
  });

  test("a failure waits for the other attempt", async (t) => {
    const up: Upstream = await Upstream.open(t, (_, res) => {
      if (up.requests.length === 1) setTimeout(() => res.end("first"), 150);
      else res.destroy();
    });
    const r = await bench(t).ok({ url: up.url, hedgeMs: 30 });
    assert.deepEqual([text(r.body), r.attempts], ["first", 2]);
  });

  test("after what most answers took", async (t) => {
    let slow = false;
    const up = await Upstream.open(t, (_, res) => {
      if (slow) slow = false;
      else res.end();
    });
    const b = bench(t, { hedge: "p95" });
    for (let i = 0; i < 20; i++) await b.ok({ url: up.url });
    slow = true;
    assert.equal((await b.ok({ url: up.url })).attempts, 2);
  });

  test("without room for a second attempt the first goes on", async (t) => {
    const up = await Upstream.open(t, (_, res) => void setTimeout(() => res.end("first"), 100));
    const b = bench(t, { limits: { requests: 1 } });
    const r = await b.ok({ url: up.url, hedgeMs: 20 });
    assert.deepEqual([text(r.body), r.attempts, b.session.usage().requests], ["first", 1, 1]);
  });
});

test("what may be retried is bounded by what else is sent", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const origin = new OriginState(1);
  for (let i = 0; i < 50; i++) origin.requested();
  let retries = 0;
  while (origin.mayRetry()) retries++;
  assert.equal(retries, 110); // a hundred, and a fifth of the requests
  assert(!origin.idle);
  now = 9500;
  assert(!origin.mayRetry());
  now = 10_500;
  assert(origin.mayRetry());
});

test("what answers took is forgotten after a while", (t) => {
  let now = 1000;
  t.mock.method(performance, "now", () => now);
  const origin = new OriginState(1);
  for (let ms = 1; ms <= 100; ms++) origin.answered(ms);
  assert.equal(origin.p95(), 95);
  now += 35_000;
  assert.equal(origin.p95(), 95);
  now += 35_000;
  assert.equal(origin.p95(), 0);
});
