/** Several invocations at once, their ends, and the end of a plugin. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { load } from "../src/index.js";
import type { Plugin } from "../src/index.js";
import { built, hex, loaded, loopback, wat } from "./plugins.js";
import { eventually, upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

let up: Upstream;
let guest: Uint8Array;
let plugin: Plugin;

before(async () => {
  up = await upstream();
  guest = await built("guest");
  plugin = await loaded(guest, { fetch: loopback }, { concurrency: 3 });
});
after(() => {
  plugin.close();
  up.close();
});

/** Workers that this process has. */
const workers = () => (process as unknown as { getActiveResourcesInfo(): string[] }).getActiveResourcesInfo().filter((r) => r === "MessagePort" || r === "Worker").length;

test("invocations run at once, as many as there are places; others wait", async () => {
  const from = performance.now();
  const all = await Promise.all(Array.from({ length: 6 }, () => plugin.fetch("/sleep?for=300ms")));
  const took = performance.now() - from;
  assert.ok(took > 590 && took < 3000, `${took} ms`);
  const queued = await Promise.all(all.map(async (r) => (await plugin.reportOf(r)!).queue_ms));
  assert.ok(queued.filter((ms) => ms > 250).length >= 3, String(queued)); // starting a worker counts too
});

test("a caller that aborts gets its reason, and nothing goes on", async () => {
  const controller = new AbortController();
  const asked = plugin.fetch(`/fetch?url=${up.url}/hold`, { signal: controller.signal });
  await eventually("the fetch is under way", () => up.inFlight() === 1);
  controller.abort(new Error("enough"));
  await assert.rejects(asked, { message: "enough" });
  await eventually("it is cancelled", () => up.inFlight() === 0);
  assert.equal(plugin.lastReport!.code, "cancelled");
  const looping = plugin.fetch("/loop", { signal: AbortSignal.timeout(50) });
  await assert.rejects(looping, { name: "TimeoutError" });
  await assert.rejects(plugin.fetch("/state", { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(await (await plugin.fetch("/state")).text(), "1");
});

test("close ends invocations and workers", async () => {
  const mine = await loaded(guest, { fetch: loopback });
  const looping = mine.fetch("/loop");
  const held = mine.fetch(`/fetch?url=${up.url}/hold`);
  await eventually("the fetch is under way", () => up.inFlight() === 1);
  mine.close();
  for (const asked of [looping, held]) {
    const got = await asked;
    assert.deepEqual([got.status, got.headers.get("sortie-error"), got.headers.get("retry-after")], [503, "draining", "1"]);
  }
  await assert.rejects(mine.fetch("/state"), { code: "draining" });
  await eventually("it is cancelled", () => up.inFlight() === 0);
});

test("a process ends by itself, whether its plugins were closed or not", async () => {
  for (const last of ["", "plugin.close()", "await plugin.fetch('/deadline')"]) {
    const script = `
      import { load } from "${new URL("./dist/index.js", import.meta.url)}";
      import { readFileSync } from "node:fs";
      const plugin = await load(readFileSync(${JSON.stringify(new URL("./streams.wasm", import.meta.url).pathname)}), {}, { workerURL: ${JSON.stringify(new URL("./worker.mjs", import.meta.url).href)} });
      const response = await plugin.fetch("/count", { method: "POST", body: "abc" });
      console.log(await response.text());
      ${last}`;
    const out = await new Promise<string>((resolve, reject) => {
      execFile(process.execPath, ["--input-type=module", "--eval", script], { timeout: 20_000 }, (err, stdout, stderr) => (err ? reject(new Error(stderr || err.message)) : resolve(stdout)));
    });
    assert.equal(out, "3 <nil>\n", last);
  }
});

test("no worker is left", async () => {
  plugin.close();
  await eventually("all workers have ended", () => workers() === 0);
});

test("load refuses what can't be, with a code", async () => {
  const small = await wat("small");
  const cases: [() => Promise<unknown>, string, RegExp][] = [
    [() => loaded(small, { limit: {} }), "invalid_manifest", /limits/],
    [() => loaded(small, "name: [", {}), "invalid_manifest", /YAML/],
    [() => loaded(small, { entry: "other" }), "invalid_wasm", /exports no function other/],
    [() => loaded(new Uint8Array([1, 2, 3])), "invalid_wasm", /can't be read/],
    [() => load(new URL("http://127.0.0.1:1/"), {}), "invalid_wasm", /can't be fetched/],
    [() => load(`${up.url}/reset`, {}), "invalid_wasm", /can't be fetched/],
    [() => loaded(small, {}, { mode: "jspi" }), "browser_isolation", /JavaScript Promise Integration/],
    [() => loaded(small, {}, { workerURL: new URL("./none.mjs", import.meta.url) }), "internal_error", /worker can't be started/],
  ];
  for (const [loading, code, message] of cases) {
    if ("Suspending" in WebAssembly && code === "browser_isolation") continue;
    await assert.rejects(loading(), (e: Error & { code: string }) => e.code === code && message.test(e.message), `${code} ${message}`);
  }
});

test("starting is computing too, and may fail", async () => {
  // (func (export "handle") (result i32) i32.const 0) (func $start loop br 0 end) (start $start)
  const spin = hex("0061736d010000000108026000017f6000000303020001070a010668616e646c6500000801010a0e02040041000b070003400c000b0b");
  await assert.rejects(loaded(spin, { limits: { cpu: "100ms" } }), { code: "invalid_wasm", message: /limits\.cpu/ });
  // (func (export "handle") (result i32) call 0)
  const deep = hex("0061736d010000000105016000017f03020100070a010668616e646c6500000a0601040010000b");
  const p = await loaded(deep);
  const problem = await (await p.fetch("/")).json();
  assert.equal(problem.code, "plugin_trapped");
  assert.match(problem.detail, /call stack is exhausted/);
  p.close();
});

test("a compiled module runs as it is", async () => {
  const module = await WebAssembly.compile(guest as Uint8Array<ArrayBuffer>);
  const p = await loaded(module as unknown as Uint8Array, { fetch: loopback, limits: { memory: "16MiB" } });
  assert.equal(await (await p.fetch("/state")).text(), "1");
  assert.equal((await (await p.fetch("/allocate")).json()).code.startsWith("limit_"), true);
  p.close();
});

test("a guest that calls the host all the time has no more CPU time than others", async () => {
  // (loop (call $quiet (i32.const 0)) (loop count down from 3,000,000) (br 1))
  const wasm = hex("0061736d01000000010a0260017f017f6000017f0218010e736f727469653a686f73742f76310571756965740000030201010503010001071302066d656d6f727902000668616e646c6500010a25012301017f0340410010001a41c08db70121000340200041016b22000d000b0c000b41000b");
  const busy = await loaded(wasm, { limits: { wall: "10s", cpu: "200ms" } });
  const got = await busy.fetch("/");
  assert.equal(got.headers.get("sortie-error"), "limit_cpu");
  assert.ok(busy.lastReport!.cpu_ms < 300, `${busy.lastReport!.cpu_ms} ms`);
  busy.close();
});

test("a guest that sleeps as it starts is given up", async () => {
  // _initialize: poll_oneoff of one clock that runs out in 36 years
  const wasm = hex("0061736d0100000001100360047f7f7f7f017f6000006000017f02260116776173695f736e617073686f745f70726576696577310b706f6c6c5f6f6e656f6666000003030201020503010001072103066d656d6f727902000b5f696e697469616c697a6500010668616e646c6500020a16020f00410041c000410141800110001a0b040041000b0b0e010041180b080000000000000010");
  await assert.rejects(loaded(wasm, { limits: { wall: "200ms" } }), { code: "invalid_wasm", message: /doesn't start/ });
});
