/** Where else the package runs: in a service worker, which has no workers, and from another origin than the page's. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type * as sortie from "../src/index.js";
import { findChromium } from "./find_chromium.mjs";
import { openPage, serve } from "./page.mjs";

const root = fileURLToPath(new URL("./", import.meta.url));

declare const globalThis: { upstream: string };

const script = `
import { load } from "/dist/index.js";
const origin = self.location.origin;
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  if (!new URL(event.request.url).pathname.startsWith("/plugin/")) return;
  event.respondWith((async () => {
    const plugin = await load("/guest.wasm", { fetch: { allow: [{ url: origin, private: true }] } }, { operator: { private: [origin] } });
    const response = await plugin.fetch("/fetch?url=" + encodeURIComponent(origin + "/up"));
    const { unenforced } = await plugin.reportOf(response);
    return Response.json({ mode: plugin.mode, unenforced, answer: await response.json() });
  })());
});`;

describe("places", { skip: !findChromium() }, () => {
  let page: Awaited<ReturnType<typeof openPage>>;
  before(async () => {
    writeFileSync(`${root}/service.js`, script);
    page = await openPage(root);
  });
  after(() => page?.close());

  test("a service worker", async () => {
    const got = await page.evaluate(async () => {
      await navigator.serviceWorker.register("/service.js", { type: "module" });
      await navigator.serviceWorker.ready;
      if (!navigator.serviceWorker.controller) await new Promise((claimed) => navigator.serviceWorker.addEventListener("controllerchange", claimed));
      return (await fetch("/plugin/")).json() as Promise<unknown>;
    }, undefined);
    assert.deepEqual(got, { mode: "inline", unenforced: ["browser_cpu"], answer: { status: 200, length: 3 } });
  });

  test("a page of another origin", async () => {
    const elsewhere = await serve(root);
    try {
      const got = await page.evaluate(async (origin) => {
        const { load } = (await import(`${origin}/dist/index.js`)) as typeof sortie;
        const plugin = await load("/guest.wasm", { fetch: { allow: [{ url: "http://127.0.0.1:*", private: true }] } }, { operator: { private: ["http://127.0.0.1:*"] } });
        const response = await plugin.fetch(`/fetch?url=${encodeURIComponent(globalThis.upstream)}`);
        plugin.close();
        return { mode: plugin.mode, answer: (await response.json()) as unknown };
      }, elsewhere.origin);
      assert.deepEqual(got, { mode: "jspi", answer: { status: 200, length: 3 } });
    } finally {
      elsewhere.close();
    }
  });
});
