/** Bodies in pieces, both ways: what host/stream_test.go asks of the server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Queue } from "../src/guest/queue.js";
import type { Plugin } from "../src/index.js";
import { built, loaded, loopback } from "./plugins.js";
import { eventually, upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

let up: Upstream;
let guest: Uint8Array;
let plugin: Plugin;

before(async () => {
  up = await upstream();
  guest = await built("streams");
  plugin = await loaded(guest, { fetch: loopback, limits: { output: "16MiB", input: "4MiB", stream: "10s" } });
});
after(() => {
  plugin.close();
  up.close();
});

/** A body of n pieces of a size, the next made only as one is taken. */
function pieces(n: number, size: number): ReadableStream<Uint8Array> {
  let i = 0;
  return new ReadableStream({ pull: (c) => (i++ < n ? c.enqueue(new Uint8Array(size).fill(i)) : c.close()) }, { highWaterMark: 0 });
}

const post = (path: string, body: BodyInit) => plugin.fetch(path, { method: "POST", body, duplex: "half" } as RequestInit);

test("what an upstream sends passes as it comes", async () => {
  const got = await plugin.fetch(`/pass?url=${up.url}/big`);
  assert.equal((await got.arrayBuffer()).byteLength, 1 << 20);
  assert.equal(plugin.lastReport!.budget.at(-1)!.name, "limits.stream");
  const lines = await plugin.fetch(`/pass?url=${up.url}/lines`);
  const reader = lines.body!.getReader();
  assert.match(new TextDecoder().decode((await reader.read()).value), /^line 0\n/);
  while (!(await reader.read()).done);
  assert.equal((await plugin.reportOf(lines)!).status, 200);
});

test("what the caller sends passes, back and on", async () => {
  const echoed = new Uint8Array(await (await post("/echo", pieces(40, 50_000))).arrayBuffer());
  assert.equal(echoed.length, 2_000_000);
  assert.equal(echoed.at(-1), 40);
  assert.equal(plugin.lastReport!.budget.find((b) => b.name === "limits.input")!.used, 2_000_000);
  assert.equal(await (await post("/count", pieces(3, 100_000))).text(), "300000 <nil>");
  const sent = await post(`/up?url=${up.url}/echo`, pieces(10, 10_000));
  assert.equal((await sent.arrayBuffer()).byteLength, 100_000);
  assert.equal(await (await post(`/ignore?url=${up.url}/ok`, pieces(100, 100_000))).text(), "ignored");
});

test("a request's body over the limit is limit_input", async () => {
  const got = await post("/count", pieces(90, 50_000));
  assert.deepEqual([got.status, got.headers.get("sortie-error")], [413, "limit_input"]);
});

test("a stream that breaks off gives what came before", async () => {
  const [before_, error] = await (await plugin.fetch(`/cut?url=${up.url}/cut`)).json();
  assert.equal(before_, "some");
  assert.match(error.Code, /^(read_error|protocol_error)$/);
  assert.equal(await (await plugin.fetch(`/close?url=${up.url}/big`)).text(), "closed");
  assert.match(await (await plugin.fetch(`/merge?url=${up.url}`)).text(), /ok/);
});

test("a failure after the head is an error of the body", async () => {
  for (const path of ["/fail", "/panic", "/panic-elsewhere"]) {
    const got = await plugin.fetch(path);
    assert.equal(got.status, 200);
    const reader = got.body!.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "some");
    await assert.rejects(reader.read(), { code: "plugin_error" }, path);
    assert.equal((await plugin.reportOf(got)!).code, "plugin_error");
  }
  const limited = await loaded(guest, { limits: { output: "100KiB", stream: "300ms" } });
  await assert.rejects((await limited.fetch("/too-long")).text(), { code: "limit_output" });
  await assert.rejects((await limited.fetch("/ticks")).text(), { code: "limit_wall" });
  limited.close();
});

test("a reader that gives up ends the invocation", async () => {
  const got = await plugin.fetch("/ticks");
  const reader = got.body!.getReader();
  await reader.read();
  await reader.cancel();
  assert.equal((await plugin.reportOf(got)!).code, "cancelled");

  const controller = new AbortController();
  const held = await plugin.fetch(`/hold?url=${up.url}/hold`, { signal: controller.signal });
  const body = held.body!.getReader();
  assert.equal(new TextDecoder().decode((await body.read()).value), "first");
  controller.abort();
  await assert.rejects(body.read(), { name: "AbortError" });
  await eventually("the fetch is cancelled", () => up.inFlight() === 0);
});

test("the clock is the stream's from the head on", async () => {
  assert.equal(await (await plugin.fetch("/deadline")).text(), "true -20s");
});

test("an answer without a body comes when its guest has ended", async () => {
  const got = await plugin.fetch("/ticks", { method: "HEAD", signal: AbortSignal.timeout(300) }).catch((e: Error) => e.name);
  assert.equal(got, "TimeoutError", "it ticks for ever");
  const fail = await plugin.fetch("/fail", { method: "HEAD" });
  assert.equal(fail.headers.get("sortie-error"), "plugin_error");
});

test("a stream that comes byte by byte costs little more than its bytes", async () => {
  const queue = new Queue();
  for (let i = 0; i < 1 << 16; i++) assert.equal(queue.put(Uint8Array.of(i), () => {}), 1);
  assert.equal(queue.put(Uint8Array.of(0), () => {}), "again");
  const from = performance.now();
  const all = await queue.next();
  const took = performance.now() - from;
  assert.ok(took < 200, `${took} ms`); // it was ten times that
  assert.ok(all!.length === 1 << 16 && all!.every((b, i) => b === (i & 255)));
});
