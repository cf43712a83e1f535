/** Raw Extism plugins, built with Extism's own PDK: what host/raw_test.go asks of the server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { contentType } from "../src/invocation/content_type.js";
import { built, hex, loaded, loopback } from "./plugins.js";
import { upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

let up: Upstream;
before(async () => void (up = await upstream()));
after(() => up.close());

async function call(entry: string, body: string, config: object = {}) {
  const plugin = await loaded(await built("raw-extism"), { entry, fetch: loopback, config });
  assert.equal(plugin.kind, "raw");
  const got = await plugin.fetch("/", { method: "POST", body });
  const text = await got.text();
  plugin.close();
  return { got, text, report: plugin.lastReport! };
}

test("fetch_all", async () => {
  const { got, text, report } = await call("handle", JSON.stringify([`${up.url}/up`, `${up.url}/ok`, "https://denied.test/"]), { concurrency: 2, timeout_ms: 1500 });
  assert.equal(got.headers.get("content-type"), "application/json");
  const { results, usage } = JSON.parse(text);
  assert.deepEqual(results.map((r: { status: string }) => r.status), ["fulfilled", "fulfilled", "rejected"]);
  assert.deepEqual([results[0].response.status, results[0].response.body, results[1].response.body], [202, "GET /up  . ", "ok"]);
  assert.deepEqual([results[2].error.code, results[2].error.retryable], ["host_denied", false]);
  assert.equal(usage.requests, 2);
  assert.equal(report.fetches.length, 3);
  assert.deepEqual(report.logs.map((l) => l.message), ["fetching 3 URLs"]);
});

test("Extism's own HTTP", async () => {
  const one = JSON.parse((await call("http_one", `${up.url}/ok`)).text);
  assert.deepEqual([one.status, one.length, one.headers["x-twice"]], [200, 2, "1"]);
  const denied = await call("http_one", "https://denied.test/");
  assert.equal(JSON.parse(denied.text).status, 0);
  assert.match(denied.report.logs[0]!.message, /^http_request https:\/\/denied\.test\/: host_denied: /);
  const each = await call("http_each", JSON.stringify([`${up.url}/ok`, `${up.url}/up`]));
  assert.deepEqual(JSON.parse(each.text), [200, 202]);
});

test("input, output, errors and variables", async () => {
  const long = "x".repeat(300_000);
  assert.equal((await call("echo", long)).text, long);
  assert.equal((await call("echo", "")).text, "");
  const failed = await call("fail", "");
  assert.deepEqual([failed.got.status, JSON.parse(failed.text).code, JSON.parse(failed.text).detail], [500, "plugin_error", "this export always fails"]);
  assert.equal((await call("vars", "")).text, "1");
});

test("a plugin that writes outside of its blocks is ended", async () => {
  const wasm = await built("kernel");
  for (const entry of ["config", "variable", "set", "fetch", "stale"]) {
    const plugin = await loaded(wasm, { entry, config: { a: "b" }, limits: { wall: "2s" } });
    const problem = await (await plugin.fetch("/")).json();
    assert.equal(problem.code, "plugin_error", entry);
    assert.match(problem.detail, /outside of the blocks/);
    plugin.close();
  }
});

test("the type of an answer is guessed as the server does", () => {
  const cases: [string | Uint8Array, string][] = [
    ["", "text/plain; charset=utf-8"], ['  {"a":1}', "application/json"], ["[1,2", "text/plain; charset=utf-8"], ["{]", "text/plain; charset=utf-8"],
    ["<html>", "text/html; charset=utf-8"], [" \n<!doctype html>", "text/html; charset=utf-8"], ["<bold", "text/plain; charset=utf-8"],
    ["<b>x", "text/html; charset=utf-8"], ["<!--", "text/html; charset=utf-8"], ["<?xml version", "text/xml; charset=utf-8"],
    ["%PDF-1.7", "application/pdf"], [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), "image/png"],
    [Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), "image/jpeg"], [Uint8Array.of(1, 2, 3), "application/octet-stream"],
    ["caf\u00e9", "text/plain; charset=utf-8"], ["RIFF1234WEBPVP8", "image/webp"], [Uint8Array.of(0xef, 0xbb, 0xbf, 0x61), "text/plain; charset=utf-8"],
  ];
  for (const [body, want] of cases) {
    assert.equal(contentType(typeof body === "string" ? new TextEncoder().encode(body) : body), want, String(body));
  }
});

test("what error_set says is bounded", async () => {
  // (call $error_set (call $alloc (i64.const 16777216))) (i32.const 1)
  const wasm = hex("0061736d01000000010e0360017e017e60017e006000017f0235020f65787469736d3a686f73742f656e7605616c6c6f6300000f65787469736d3a686f73742f656e76096572726f725f7365740001030201020503010001071302066d656d6f727902000668616e646c6500020a0f010d0042808080081000100141010b");
  const plugin = await loaded(wasm);
  const problem = await (await plugin.fetch("/")).json();
  assert.deepEqual([problem.code, problem.detail.length], ["plugin_error", 8192]);
  plugin.close();
});
