import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stops, timer, Scope } from "../src/fetch/scope.js";
import { acquireAll, Slots } from "../src/fetch/slots.js";
import { bench, failedWith, request, Upstream, type ServerResponse } from "./fetch_bench.js";
import type { Outcome } from "../src/fetch/index.js";

describe("times", () => {
  for (const [name, limits, of, code, message] of [
    ["the whole fetch", { timeout: "300ms" }, {}, "timeout", "the fetch wasn't over within its timeout, 300ms"],
    ["the whole fetch, as the guest says", {}, { timeoutMs: 300 }, "timeout", "the fetch wasn't over within its timeout, 300ms"],
    ["the guest can't have more than the policy", { timeout: "300ms" }, { timeoutMs: 5000 }, "timeout", "the fetch wasn't over within its timeout, 300ms"],
    ["one attempt", { attempt_timeout: "300ms" }, {}, "timeout", "the attempt wasn't over within attempt_timeout, 300ms"],
    ["one attempt, as the guest says", {}, { attemptTimeoutMs: 300 }, "timeout", "the attempt wasn't over within attempt_timeout, 300ms"],
    ["reading", { read_timeout: "300ms" }, {}, "read_timeout", "no byte arrived for read_timeout, 300ms"],
  ] as const) {
    for (const where of ["head", "body"] as const) {
      test(`${name}, in the ${where}`, async (t) => {
        const up = await Upstream.open(t, (req, res) => {
          if (req.url === "/warm") res.end();
          else if (where === "body") res.writeHead(200, { "content-length": 10 }).write("some");
        });
        const b = bench(t, { limits });
        await bench(t).warm(up.url);
        const start = performance.now(), failure = await b.fails(code, { url: up.url, ...of });
        assert(performance.now() - start >= 298, "too early");
        assert.equal(failure.message, message);
        await up.until(() => up.aborted === up.requests.length - 1); // the exchange itself has ended
        assert.equal(b.client.slots.used + b.session.slots.used, 0);
        const [record] = b.session.records();
        assert.deepEqual([record!.code, record!.exchanges[0]!.code], [code, code]);
      });
    }
  }

  test("reading starts anew with every byte", async (t) => {
    const up = await Upstream.open(t, async (_, res) => {
      for (let i = 0; i < 6; i++) {
        res.write("x");
        await new Promise((resolve) => setTimeout(resolve, 90));
      }
      res.end();
    });
    assert.equal((await bench(t, { limits: { read_timeout: "400ms" } }).ok({ url: up.url })).body.length, 6);
  });

  test("waiting for a slot", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { concurrency: 1, pool_timeout: "30ms" } });
    const first = b.go({ url: up.url });
    const failure = await b.fails("pool_timeout", { url: up.url });
    assert.deepEqual([failure.message, failure.retryable, failure.attempts], ["no slot within pool_timeout, 30ms", true, 0]);
    assert.equal(b.session.usage().requests, 1, "what was never sent isn't charged");
    const [, record] = b.session.records();
    assert.deepEqual(record!.states.map((s) => s.state), ["pending", "rejected"]);
    await b.session.close();
    failedWith("cancelled", await first);
  });

  test("waiting for a slot counts into the whole", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { concurrency: 1 } });
    void b.go({ url: up.url });
    await b.fails("timeout", { url: up.url, timeoutMs: 30 });
    assert.equal(up.requests.length, 1);
  });

  test("the longest there are aren't none", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end());
    await bench(t, { limits: { timeout: "160s" } }).ok({ url: up.url, timeoutMs: 2 ** 40 });
    t.mock.timers.enable(["setTimeout"]);
    let fired = 0;
    timer(2 ** 31 + 100, () => fired++);
    const stop = timer(2 ** 31 + 100, () => fired++);
    t.mock.timers.tick(2 ** 31 - 1);
    assert.equal(fired, 0);
    stop();
    t.mock.timers.tick(101);
    assert.equal(fired, 1);
  });
});

describe("cancelling", () => {
  test("ends the exchange, gives the slot back and is cancelled", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { concurrency: 1 } });
    const outcomes: Outcome[] = [];
    const first = b.session.start(request({ url: up.url + "/1" }), (o) => outcomes.push(o));
    const second = b.session.start(request({ url: up.url + "/2" }), (o) => outcomes.push(o));
    await up.until(() => up.requests.length === 1);
    assert.deepEqual([first.state(), second.state()], ["running", "pending"]);
    first.cancel();
    first.cancel();
    await up.until(() => up.aborted === 1 && up.requests.length === 2); // the slot passed on
    assert.deepEqual([first.state(), second.state()], ["cancelled", "running"]);
    assert.equal(failedWith("cancelled", outcomes[0]!).message, "cancelled by the caller");
    second.cancel();
    await up.until(() => up.aborted === 2);
    assert.deepEqual([b.session.slots.used, b.client.slots.used, outcomes.length], [0, 0, 2]);
    assert.equal(b.session.usage().requests, 2);
  });

  test("one that waits for a slot", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { concurrency: 1 } });
    void b.go({ url: up.url });
    await up.until(() => up.requests.length === 1);
    let outcome: Outcome | undefined;
    const call = b.session.start(request({ url: up.url }), (o) => (outcome = o));
    call.cancel();
    await new Promise(setImmediate);
    assert.equal(failedWith("cancelled", outcome!).attempts, 0);
    assert.equal(b.session.usage().requests, 1);
  });

  test("one that has just been started", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t);
    let outcome: Outcome | undefined;
    b.session.start(request({ url: up.url }), (o) => (outcome = o)).cancel();
    await new Promise(setImmediate);
    assert.equal(failedWith("cancelled", outcome!).attempts, 0);
    assert.deepEqual([b.session.usage().requests, b.session.slots.used, up.requests.length], [0, 0, 0]);
  });

  test("what has settled stays", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end());
    const b = bench(t);
    let done = 0;
    const settled = new Promise<void>((resolve) => {
      const call = b.session.start(request({ url: up.url }), () => {
        done++;
        queueMicrotask(() => {
          call.cancel();
          assert.equal(call.state(), "fulfilled");
          resolve();
        });
      });
    });
    await settled;
    await b.session.close();
    assert.equal(done, 1);
  });

  test("closing a session ends all of it and waits", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { concurrency: 2 } });
    const outcomes = [1, 2, 3].map(() => b.go({ url: up.url }));
    await up.until(() => up.requests.length === 2);
    let settled = 0;
    for (const outcome of outcomes) void outcome.then(() => settled++);
    await b.session.close();
    assert.equal(settled, 3);
    for (const outcome of outcomes) assert.equal(failedWith("cancelled", await outcome).message, "cancelled because the invocation is over");
    await up.until(() => up.aborted === 2);
    assert.equal(b.client.slots.used, 0);
    await b.fails("cancelled", { url: up.url }); // and what comes later
    await b.session.close();
  });
});

describe("slots", () => {
  test("as many requests at once as there are, in order", async (t) => {
    const waiting: ServerResponse[] = [];
    const up = await Upstream.open(t, (_, res) => void waiting.push(res));
    const b = bench(t, { limits: { concurrency: 3 } });
    const all = [0, 1, 2, 3, 4, 5, 6].map((n) => b.go({ url: `${up.url}/${n}` }));
    for (let done = 0; done < 7; done++) {
      await up.until(() => up.requests.length >= Math.min(done + 3, 7));
      assert(b.session.slots.used <= 3);
      waiting.shift()!.end();
      await up.until(() => up.requests.length >= Math.min(done + 4, 7));
    }
    await Promise.all(all);
    assert.equal(b.session.slots.used, 0);
    assert.deepEqual(up.requests.map((r) => r.path).sort(), ["/0", "/1", "/2", "/3", "/4", "/5", "/6"]);
    assert.deepEqual(up.requests.slice(3).map((r) => r.path), ["/3", "/4", "/5", "/6"]);
  });

  test("of an origin are all sessions'", async (t) => {
    const up = await Upstream.open(t, () => {});
    const b = bench(t, { limits: { pool_timeout: "30ms" } });
    const other = b.client.session();
    t.after(() => other.close());
    const slots = b.client.origin(up.url).slots;
    const used = slots.limit;
    slots.used = used; // as if others had them
    await b.fails("pool_timeout", { url: up.url });
    slots.used = 0;
    void b.go({ url: up.url });
    await up.until(() => up.requests.length === 1);
    assert.equal(slots.used, 1);
  });

  test("pass to who waits, not to who ended", async () => {
    const slots = new Slots(1), scopes = [new Scope(), new Scope(), new Scope()];
    assert.equal(await slots.acquire(scopes[0]!), undefined);
    const second = slots.acquire(scopes[1]!), third = slots.acquire(scopes[2]!);
    slots.release(); // to the second, which ends at the same moment
    scopes[1]!.end(stops.guest);
    assert.equal(await second, stops.guest);
    assert.equal(await third, undefined);
    assert.equal(slots.used, 1);
    slots.release();
    assert(slots.idle);
    assert.throws(() => slots.release(), /twice/);
  });

  test("all or none", async () => {
    const a = new Slots(1), b = new Slots(1), scope = new Scope();
    b.used = 1;
    const held = acquireAll([a, b], scope);
    await Promise.resolve();
    assert.equal(a.used, 1);
    scope.end(stops.mode);
    assert.equal(await held, stops.mode);
    assert.equal(a.used, 0);
  });
});
