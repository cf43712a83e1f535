/** What host/wat_test.go asks of the server: a guest built for the first host that spoke v1 runs here as it does there. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Plugin } from "../src/index.js";
import { loaded, loopback, wat } from "./plugins.js";
import { eventually, upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

let up: Upstream;
let plugin: Plugin;

before(async () => {
  up = await upstream();
  plugin = await loaded(await wat("abi_v1"), { config: { region: "eu" }, fetch: loopback });
});
after(() => {
  plugin.close();
  up.close();
});

const call = (path: string, body: string) => plugin.fetch(path, { method: "POST", body, headers: { "X-In": "yes" } });

test("the first guests still run", async () => {
  const sent = (path: string) => `POST /up${path} v1 ping. `;
  const cases: [path: string, url: string, status: number, want: string][] = [
    ["/fetch", "/up", 202, sent("")],
    ["/group", "/up", 200, sent("a") + sent("b") + sent("c")],
    ["/poll", "/up", 202, sent("")],
    ["/cancel", "/hold", 200, "cancelled"],
    ["/drop", "/hold", 200, "dropped"],
    ["/key", "", 200, `"eu"`],
    ["/other", "", 404, ""],
    ["/fetch", "/up", 202, sent("")],
  ];
  assert.equal(plugin.kind, "http");
  for (const [path, url, status, want] of cases) {
    const got = await call(path, up.url + url);
    const body = await got.text();
    assert.deepEqual([got.status, body], [status, want], `${path}: ${JSON.stringify(plugin.lastReport)}`);
    assert.equal(got.headers.get("x-guest"), "abi_v1");
    assert.match(got.headers.get("sortie-invocation")!, /^[0-9a-f]{32}$/);
  }
  await eventually("nothing is in flight", () => up.inFlight() === 0);
});

test("they fail as they did", async () => {
  const cases: [string, string][] = [
    ["/why", "no luck"],
    ["/quit", "the plugin exited with status 3: no luck"],
    ["/fetch", "the plugin exited with status 35"],
  ];
  for (const [path, detail] of cases) {
    const got = await call(path, "https://denied.test/");
    assert.equal(got.status, 500);
    assert.equal(got.headers.get("sortie-error"), "plugin_error");
    assert.equal(got.headers.get("content-type"), "application/problem+json");
    const problem = await got.json();
    assert.deepEqual([problem.code, problem.detail, problem.type], ["plugin_error", detail, "urn:sortie:problem:plugin_error"], path);
    assert.equal(problem.invocation, got.headers.get("sortie-invocation"));
  }
  await call("/log", "");
  assert.deepEqual(plugin.lastReport!.logs.map((l) => `${l.level} ${l.message}`), ["warn careful", "debug in detail", "info printed"]);
  const first = new Uint8Array(await (await call("/time", "")).arrayBuffer());
  assert.equal(first.length, 24);
  const now = Number(new DataView(first.buffer).getBigUint64(0, true) / 1_000_000n);
  assert.ok(Math.abs(now - Date.now()) < 60_000);
  const again = new Uint8Array(await (await call("/time", "")).arrayBuffer());
  assert.notDeepEqual(again.subarray(8), first.subarray(8), "random bytes");
});

test("what must not go through gives the errno it always gave", async () => {
  const got = new DataView(await (await call("/errors", up.url + "/hold")).arrayBuffer());
  const results = Array.from({ length: got.byteLength / 4 }, (_, i) => got.getInt32(i * 4, true));
  assert.deepEqual(results, [-1, -1, -1, -2, -1, -1, -6, -1, -2, -1, -2, -3, -3, -3, -3, -4, -4, 0, -2, -1, -1, 0, -3]);
  await eventually("nothing is in flight", () => up.inFlight() === 0);
});
