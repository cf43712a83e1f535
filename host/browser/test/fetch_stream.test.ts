import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { FetchError, type FetchResponse } from "../src/fetch/index.js";
import { bench, request, streamOf, text, Upstream, type ServerResponse } from "./fetch_bench.js";

async function readAll(r: FetchResponse): Promise<string> {
  let all = "";
  for await (const piece of r.stream!) all += text(piece);
  return all;
}

/** What reading a body fails with. */
async function readFails(r: FetchResponse, code: string): Promise<void> {
  await assert.rejects(readAll(r), (err: unknown) => {
    assert(err instanceof FetchError);
    assert.equal(err.failure.code, code);
    return true;
  });
}

describe("a streamed response", () => {
  test("settles with its head, and holds its slots until its end", async (t) => {
    let answer!: ServerResponse;
    const up = await Upstream.open(t, (_, res) => {
      answer = res;
      res.write("one ");
    });
    const b = bench(t, { limits: { concurrency: 1 } }), r = await b.ok({ url: up.url, stream: true });
    assert.equal(r.body.length, 0);
    const reader = r.stream!.getReader();
    assert.equal(text((await reader.read()).value!), "one ");
    assert.deepEqual([b.session.slots.used, b.session.usage().bytes, b.session.records()[0]!.state], [1, 4, "fulfilled"]);
    answer.end("two");
    assert.equal(text((await reader.read()).value!), "two");
    assert.equal((await reader.read()).done, true);
    assert.deepEqual([b.session.slots.used, b.client.slots.used], [0, 0]);
    const [record] = b.session.records();
    assert.deepEqual([record!.bytes, record!.exchanges[0]!.decoded, record!.code], [7, 7, undefined]);
  });

  test("is decoded and counted", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("a".repeat(1000))));
    const b = bench(t, { limits: { response_bytes: 500 } });
    await readFails(await b.ok({ url: up.url, stream: true }), "response_too_large");
    assert.equal(b.session.records()[0]!.code, "response_too_large");
    assert.equal(b.session.slots.used, 0);
  });

  test("is cut by the session's budget", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end("a".repeat(60)));
    const b = bench(t, { limits: { total_bytes: 100 } });
    const one = await b.ok({ url: up.url, stream: true }), two = await b.ok({ url: up.url, stream: true });
    assert.equal((await readAll(one)).length, 60);
    await readFails(two, "limit_bytes");
  });

  for (const [name, end, code] of [
    ["cancelling its call", "call", "cancelled"], ["closing its session", "session", "cancelled"], ["its timeout", "timeout", "timeout"], ["reading too long", "read", "read_timeout"],
  ] as const) {
    test(`ends with ${name}`, async (t) => {
      const up = await Upstream.open(t, (_, res) => void res.write("some"));
      const b = bench(t, { limits: { read_timeout: end === "read" ? "400ms" : "10s" } });
      const { call, response } = await new Promise<{ call: { cancel(): void }; response: FetchResponse }>((resolve) => {
        const call = b.session.start(request({ url: up.url, stream: true, timeoutMs: end === "timeout" ? 500 : 0 }), (o) => {
          assert(o.state === "fulfilled");
          const { response } = o;
          queueMicrotask(() => resolve({ call, response }));
        });
      });
      const reader = response.stream!.getReader();
      await reader.read();
      const failing = assert.rejects(reader.read(), (err: FetchError) => err.failure.code === code);
      if (end === "call") call.cancel();
      if (end === "session") await b.session.close();
      await failing;
      await up.until(() => up.aborted === 1);
      assert.deepEqual([b.session.slots.used, b.client.slots.used], [0, 0]);
      await b.session.close();
      assert.equal(b.session.records()[0]!.code, code);
    });
  }

  test("that its reader gives up ends without a failure", async (t) => {
    const up = await Upstream.open(t, (_, res) => void res.write("some"));
    const b = bench(t), r = await b.ok({ url: up.url, stream: true });
    await r.stream!.cancel();
    await up.until(() => up.aborted === 1);
    assert.deepEqual([b.session.slots.used, b.session.records()[0]!.code], [0, undefined]);
  });

  test("that nobody reads isn't slow, and closing waits for it", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end("body"));
    const b = bench(t, { limits: { read_timeout: "400ms" } }), r = await b.ok({ url: up.url, stream: true });
    await new Promise((resolve) => setTimeout(resolve, 900));
    assert.equal(await readAll(r), "body");
    await b.session.close();
  });

  test("isn't slow while its reader is", async (t) => {
    const up = await Upstream.open(t, (_, res) => {
      res.write("one ");
      setTimeout(() => res.end("two"), 30);
    });
    const r = await bench(t, { limits: { read_timeout: "400ms" } }).ok({ url: up.url, stream: true });
    const reader = r.stream!.getReader();
    assert.equal(text((await reader.read()).value!), "one ");
    await new Promise((resolve) => setTimeout(resolve, 900));
    assert.equal(text((await reader.read()).value!), "two");
    assert((await reader.read()).done);
  });

  test("that breaks off is a read_error", async (t) => {
    const up = await Upstream.open(t, (_, res) => {
      res.writeHead(200, { "content-length": 10 }).write("some");
      setTimeout(() => res.destroy(), 20);
    });
    await readFails(await bench(t).ok({ url: up.url, stream: true }), "read_error");
  });

  test("of a group outlives the group", async (t) => {
    const up = await Upstream.open(t, (_, res) => {
      res.write("x");
      setTimeout(() => res.end("late"), 700);
    });
    const b = bench(t);
    const response = await new Promise<FetchResponse>((resolve) => {
      let r: FetchResponse;
      b.session.startGroup({ mode: "race", count: 0, concurrency: 0, timeoutMs: 400, requests: [request({ url: up.url, stream: true })] },
        (_, o) => (r = (o as { response: FetchResponse }).response), () => resolve(r));
    });
    assert.equal(await readAll(response), "xlate");
  });

  test("without a body is empty", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(204).end());
    const r = await bench(t).ok({ url: up.url, stream: true });
    assert.equal(await readAll(r), "");
  });
});

describe("a streamed request", () => {
  const echo = (t: Parameters<typeof Upstream.open>[0]) => Upstream.open(t, (req, res) => {
    let body = "";
    req.on("data", (piece) => (body += piece));
    req.on("end", () => res.end(body));
  });

  test("goes out in pieces, or with its length", async (t) => {
    const up = await echo(t), b = bench(t);
    assert.equal(text((await b.ok({ url: up.url, method: "POST", bodyStream: streamOf("a", "b", "c") })).body), "abc");
    assert.equal(text((await b.ok({ url: up.url, method: "POST", bodyStream: streamOf("a", "b"), bodyLength: 2 })).body), "ab");
    assert.deepEqual(up.requests.map((r) => [r.headers["transfer-encoding"], r.headers["content-length"]]), [["chunked", undefined], [undefined, "2"]]);
    assert.deepEqual(b.session.records().map((r) => r.exchanges[0]!.sent), [3, 2]);
    assert.deepEqual(b.session.unenforced(), []);
  });

  for (const [name, of, code] of [
    ["more than it may have", { bodyStream: streamOf("a".repeat(60), "a".repeat(60)) }, "request_too_large"],
    ["more than was announced", { bodyStream: streamOf("abc"), bodyLength: 2 }, "invalid_request"],
    ["less than was announced", { bodyStream: streamOf("a"), bodyLength: 2 }, "invalid_request"],
  ] as const) {
    test(`with ${name} fails`, async (t) => {
      const up = await echo(t);
      await bench(t, { limits: { request_bytes: 100 } }).fails(code, { url: up.url, method: "POST", ...of });
    });
  }

  test("that fails at its source is cancelled", async (t) => {
    const up = await echo(t);
    const source = new ReadableStream<Uint8Array>({ pull: (c) => c.error(new Error("no more")) });
    assert.equal((await bench(t).fails("cancelled", { url: up.url, method: "POST", bodyStream: source })).message, "cancelled because the request's body failed: no more");
  });

  test("whose source is slow isn't the upstream's fault", async (t) => {
    const up = await echo(t);
    const late = new Promise<string>((resolve) => setTimeout(() => resolve("b"), 900));
    const r = await bench(t, { limits: { write_timeout: "400ms", read_timeout: "400ms" } }).ok({ url: up.url, method: "POST", bodyStream: streamOf("a", late) });
    assert.equal(text(r.body), "ab");
  });

  test("ends its source with the fetch, read or not", async (t) => {
    const up = await echo(t), b = bench(t, { allow: [{ url: up.url, private: true }] });
    for (const [url, code] of [[up.url, "timeout"], ["http://127.0.0.1:9/", "host_denied"]] as const) {
      let cancelled = false;
      const source = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}), cancel: () => void (cancelled = true) }, { highWaterMark: 0 });
      await b.fails(code, { url, method: "POST", bodyStream: source, timeoutMs: 60 });
      await new Promise(setImmediate);
      assert(cancelled, url);
    }
  });
});
