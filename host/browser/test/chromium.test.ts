/** The package as it ships, in Chromium: by JSPI in a worker, by Atomics in one, and inline. Skipped where there is no Chromium; make test sees to one. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import type * as sortie from "../src/index.js";
import { findChromium } from "./find_chromium.mjs";
import { openPage } from "./page.mjs";

const root = fileURLToPath(new URL("./", import.meta.url));

/** What a page has: see page.mjs. */
declare const globalThis: { sortie: typeof sortie; upstream: string; plugin: sortie.Plugin; crossOriginIsolated: boolean };

for (const mode of ["jspi", "atomics", "inline"] as const) {
  describe(`Chromium, ${mode}`, { skip: !findChromium() }, () => {
    let page: Awaited<ReturnType<typeof openPage>>;
    before(async () => void (page = await openPage(root, { isolated: mode === "atomics", console: (line: string) => console.log(line) })));
    after(() => page?.close());

    /** Loads a guest in the page, and calls it. */
    const call = (guest: string, manifest: object, path: string, init: RequestInit = {}) =>
      page.evaluate(
        async ([guest, manifest, path, init, mode]) => {
          const { sortie, upstream } = globalThis;
          const allow = [{ url: "http://127.0.0.1:*", private: true }];
          const plugin = await sortie.load(guest, { fetch: { allow }, ...manifest }, { mode, operator: { private: ["http://127.0.0.1:*"] } });
          const response = await plugin.fetch(path.replace("UP", encodeURIComponent(upstream)), init);
          let text = "", failed = "";
          try {
            // A reader is given the error as it is; text() would make a TypeError of it.
            const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
            for (let part; !(part = await reader.read()).done; ) text += part.value;
          } catch (e) {
            failed = (e as { code: string }).code;
          }
          plugin.close();
          return { mode: plugin.mode, status: response.status, code: response.headers.get("sortie-error"), text, failed, report: plugin.lastReport! };
        },
        [guest, manifest, path, init, mode] as const,
      );

    test("a Go guest: fetches, groups, goroutines, timers", async () => {
      const one = await call("/guest.wasm", {}, "/fetch?url=UP");
      assert.deepEqual([one.mode, one.status, JSON.parse(one.text)], [mode, 200, { status: 200, length: 3 }]);
      assert.deepEqual([one.report.host, one.report.unenforced], ["browser", mode === "inline" ? ["browser_cpu"] : []]);
      const many = await call("/guest.wasm", {}, "/goroutines?n=20&url=UP?g=");
      assert.equal(JSON.parse(many.text)[19], "up ?g=19");
      assert.equal(many.report.budget[0]!.used, 20);
      assert.equal(JSON.parse((await call("/guest.wasm", {}, "/group?n=5&url=UP?g=")).text)[4], "fulfilled up ?g=4");
      assert.equal((await call("/guest.wasm", {}, "/timer?after=20ms&url=UP?delay=3000")).text, "timer true");
      assert.equal((await call("/guest.wasm", {}, "/sleep?for=30ms")).text, "slept");
    });

    test("limits", async () => {
      const codes: string[] = [];
      const cases: [path: string, limits: object][] = [
        ["/allocate", { memory: "32MiB", cpu: "5s" }], ["/panic", {}], ["/exit", {}], ["/sleep?for=1m", { wall: "300ms" }], ["/bytes?n=10", { output: 9 }],
      ];
      if (mode !== "inline") cases.push(["/loop", { cpu: "200ms" }]);
      for (const [path, limits] of cases) codes.push((await call("/guest.wasm", { limits }, path)).code!);
      assert.deepEqual(codes, ["limit_memory", "plugin_error", "plugin_error", "limit_wall", "limit_output", "limit_cpu"].slice(0, cases.length));
    });

    test("streams", async () => {
      assert.equal((await call("/streams.wasm", {}, "/echo", { method: "POST", body: "there and back" })).text, "there and back");
      assert.equal((await call("/streams.wasm", {}, "/pass?url=UP?s=1")).text, "up ?s=1");
      assert.deepEqual((await call("/streams.wasm", {}, "/fail")).failed, "plugin_error");
    });

    test("a raw plugin", async () => {
      const asked = { method: "POST", body: JSON.stringify([`${page.origin}/up?a`, "https://denied.test/"]) };
      const { results } = JSON.parse((await call("/raw-extism.wasm", {}, "/", asked)).text);
      assert.deepEqual([results[0].response.body, results[1].error.code], ["up ?a", "host_denied"]);
      const one = await call("/raw-extism.wasm", { entry: "http_one" }, "/", { method: "POST", body: `${page.origin}/up?a` });
      assert.equal(JSON.parse(one.text).status, 200);
    });

    test("runaway recursion is a crash, and no more", async () => {
      const deep = [..."0061736d010000000105016000017f03020100070a010668616e646c6500000a0601040010000b".match(/../g)!].map((h) => parseInt(h, 16));
      const problem = await page.evaluate(
        async ([deep, mode]) => {
          const plugin = await globalThis.sortie.load(Uint8Array.from(deep), {}, { mode });
          const response = await plugin.fetch("/");
          plugin.close();
          return response.json();
        },
        [deep, mode] as const,
      );
      assert.equal(problem.code, "plugin_trapped");
      assert.match(problem.detail, /call stack is exhausted/);
    });

    test("50 fetches take what the page's own take", async () => {
      const [own, plugin] = await page.evaluate(
        async ([mode]) => {
          const { sortie, upstream } = globalThis;
          const manifest = { fetch: { allow: [{ url: "http://127.0.0.1:*", private: true }], limits: { concurrency: 50 } } };
          const plugin = await sortie.load("/guest.wasm", manifest, { mode, operator: { private: ["http://127.0.0.1:*"] } });
          const best = async (run: () => Promise<unknown>) => {
            const times: number[] = [];
            for (let i = 0; i < 9; i++) {
              const from = performance.now();
              await run();
              times.push(performance.now() - from);
            }
            return times.sort((a, b) => a - b)[4]!;
          };
          const url = encodeURIComponent(`${upstream}?delay=20&g=`);
          await plugin.fetch(`/group?n=50&url=${url}`);
          const own = await best(() => Promise.all(Array.from({ length: 50 }, async (_, i) => (await fetch(`${upstream}?delay=20&g=${i}`, { cache: "no-store" })).text())));
          const its = await best(async () => (await plugin.fetch(`/group?n=50&url=${url}`)).text());
          plugin.close();
          return [own, its] as const;
        },
        [mode] as const,
      );
      console.log(`50 fetches: the page's own ${own.toFixed(1)} ms, the plugin's ${plugin.toFixed(1)} ms`);
      assert.ok(plugin < own * 1.5 + 20, `${plugin} ms, the page's own ${own} ms`);
    });
  });
}
