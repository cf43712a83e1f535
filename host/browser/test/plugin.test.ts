/** A Go guest under its limits: what host/hostile_test.go and host/http_test.go ask of the server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Plugin } from "../src/index.js";
import { built, loaded, loopback } from "./plugins.js";
import { eventually, upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

let up: Upstream;
let guest: Uint8Array;
let plugin: Plugin;

before(async () => {
  up = await upstream();
  guest = await built("guest");
  plugin = await loaded(guest, { name: "guest", fetch: loopback, config: { region: "eu" } });
});
after(() => {
  plugin.close();
  up.close();
});

test("the request and the response cross whole", async () => {
  const got = await plugin.fetch("http://plugin.test/echo?a=b%20c", { method: "POST", body: "caf\u00e9", headers: { "X-In": "in", "Sortie-Secret": "s" } });
  assert.equal(got.status, 201);
  assert.equal(await got.text(), "POST plugin.test b c caf\u00e9");
  assert.equal(got.headers.get("x-seen"), "2 in", "content-type and x-in");
  assert.equal(got.headers.get("sortie-forged"), null);
  assert.match(got.headers.get("server-timing")!, /^queue;dur=[\d.]+, guest;dur=[\d.]+, fetch;dur=[\d.]+;desc="0", total;dur=[\d.]+$/);
  const report = await plugin.reportOf(got)!;
  assert.equal(report, plugin.lastReport);
  assert.deepEqual([report.plugin, report.kind, report.method, report.path, report.status, report.code], ["guest", "http", "POST", "/echo", 201, undefined]);
  const used = Object.fromEntries(report.budget.map((b) => [b.name, b.used]));
  assert.deepEqual([used["limits.input"], used["limits.output"]], [5, 26]);
});

test("each misdeed gets the contract's problem, and the next invocation works", async () => {
  const limited = await loaded(guest, { fetch: loopback, limits: { wall: "20s", cpu: "2s", memory: "64MiB", output: "1KiB", input: 10 } });
  const cases: [path: string, code: string, status: number, detail: string][] = [
    ["/loop", "limit_cpu", 500, "limits.cpu (2s"],
    ["/allocate", "limit_memory", 500, "limits.memory is 64MiB"],
    ["/panic", "plugin_error", 500, "at the disco"],
    ["/panic-elsewhere", "plugin_error", 500, "panic: in a goroutine"],
    ["/exit", "plugin_error", 500, "status 3"],
    ["/exit-as-if-stopped", "plugin_error", 500, "status 4294967295"],
    ["/error", "plugin_error", 500, "no luck"],
    ["/bytes?n=1025", "limit_output", 500, "1025 bytes"],
  ];
  for (const [path, code, status, detail] of cases) {
    const got = await limited.fetch(path);
    const problem = await got.json();
    assert.deepEqual([problem.code, got.status, got.headers.get("sortie-error")], [code, status, code], path + JSON.stringify(problem));
    assert.ok(problem.detail.includes(detail), problem.detail);
    assert.equal(limited.lastReport!.code, code);
    assert.equal(await (await limited.fetch("/state")).text(), "1", `after ${path}`);
  }
  const long = await limited.fetch("/echo", { method: "POST", body: "12345678901" });
  assert.deepEqual([long.status, long.headers.get("sortie-error")], [413, "limit_input"]);
  limited.close();
});

test("waiting isn't computing, and the wall limit ends it", async () => {
  const limited = await loaded(guest, { fetch: loopback, limits: { wall: "1s", cpu: "300ms" } });
  assert.equal(await (await limited.fetch("/sleep?for=600ms")).text(), "slept");
  const from = performance.now();
  const got = await limited.fetch("/sleep?for=1m");
  assert.deepEqual([got.status, got.headers.get("sortie-error")], [504, "limit_wall"]);
  assert.ok(performance.now() - from < 5000);
  const held = await limited.fetch(`/fetch?url=${up.url}/hold`);
  assert.equal(held.headers.get("sortie-error"), "limit_wall");
  await eventually("the fetch is cancelled", () => up.inFlight() === 0);
  limited.close();
});

test("goroutines overlap, timers and cancellation reach the host", async () => {
  const from = performance.now();
  const many = await plugin.fetch(`/goroutines?n=12&url=${encodeURIComponent(`${up.url}/slow?ms=200&i=`)}`);
  assert.equal((await many.json()).length, 12);
  assert.ok(performance.now() - from < 2000, "one after the other it takes 2.4s");
  assert.equal(await (await plugin.fetch(`/timer?after=30ms&url=${up.url}/hold`)).text(), "timer true");
  await eventually("the fetch is cancelled", () => up.inFlight() === 0);
  assert.equal(await (await plugin.fetch(`/timer?after=10s&url=${up.url}/ok`)).text(), "fetch");
  const group = await (await plugin.fetch(`/group?n=3&url=${up.url}/up`)).json();
  assert.deepEqual(group, [0, 1, 2].map((i) => `fulfilled GET /up${i}  . `));
  const denied = await (await plugin.fetch("/fetch?url=https://example.com/")).json();
  assert.equal(denied.code, "host_denied");
  assert.equal(plugin.lastReport!.fetches[0]!.code, "host_denied");
  const any = await (await plugin.fetch(`/group?n=2&mode=any&url=${up.url}/up`)).json();
  assert.equal(any.status, 202);
});

test("configuration, log, clock, randomness", async () => {
  assert.equal(await (await plugin.fetch("/config?key=region")).text(), "eu true");
  assert.equal(await (await plugin.fetch("/config?key=none")).text(), " false");
  await plugin.fetch("/log");
  assert.deepEqual(plugin.lastReport!.logs.map((l) => `${l.level} ${l.message}`), ["info hello n=1", "error bad", "info printed", "warn half a line"]);
  const [a, b] = [await (await plugin.fetch("/clock")).json(), await (await plugin.fetch("/clock")).json()];
  assert.ok(Math.abs(a.unix - Date.now() / 1000) < 60);
  assert.notEqual(a.random, b.random);
  await plugin.fetch("/print");
  const { logs } = plugin.lastReport!;
  assert.match(logs.at(-1)!.message, /limit is reached/);
  assert.ok(logs.reduce((n, l) => n + l.message.length + 16, 0) <= 66 << 10);
});

test("an instance is clean for each invocation, unless they are pooled", async () => {
  for (let i = 0; i < 3; i++) assert.equal(await (await plugin.fetch("/state")).text(), "1");
  const pooled = await loaded(guest, { isolation: "pooled" }, { concurrency: 1 });
  for (let i = 1; i <= 3; i++) assert.equal(await (await pooled.fetch("/state")).text(), String(i));
  await pooled.fetch("/exit");
  assert.equal(await (await pooled.fetch("/state")).text(), "1", "after a failure it is a new one");
  pooled.close();
});

test("a guest that can't be woken is told so", async () => {
  const got = await (await plugin.fetch("/deadlock")).json();
  assert.equal(got.code, "plugin_error");
  assert.match(got.detail, /every thread of the plugin waits|all goroutines are asleep/);
});
