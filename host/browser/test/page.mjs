// A page in Debian's Chromium, with a server beside it that has the built files, the guests and an upstream: what the tests of the browser
// host run in. Everything is on loopback.
//
//	const page = await openPage({ isolated: true });
//	await page.evaluate(async () => …);   // `sortie` and `upstream` are there
//	await page.close();
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { chromium } from "playwright-core";
import { chromiumArgs, findChromium } from "./find_chromium.mjs";

const types = { ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const html = '<!doctype html><meta charset="utf-8"><title>Sortie</title><link rel="icon" href="data:,"><script type="module">import * as s from "/dist/index.js"; globalThis.sortie = s; globalThis.upstream = location.origin + "/up";</script>';

/** Serves a folder, a page, and at /up an upstream that answers what its path says. */
export async function serve(root, { isolated = false } = {}) {
  const server = createServer(async (req, res) => {
    const url = new URL(req.url, "http://x");
    if (isolated) {
      res.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      res.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    res.setHeader("Access-Control-Allow-Origin", "*");
    if (url.pathname === "/") return res.setHeader("Content-Type", "text/html").end(html);
    if (url.pathname.startsWith("/up")) return setTimeout(() => res.end("up " + url.search), Number(url.searchParams.get("delay") ?? 0));
    try {
      const data = await readFile(join(root, normalize(url.pathname)));
      res.setHeader("Content-Type", types[extname(url.pathname)] ?? "application/octet-stream").end(data);
    } catch {
      res.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Opens a page of that folder's. */
export async function openPage(root, options = {}) {
  const server = await serve(root, options);
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: [...chromiumArgs, ...(options.args ?? [])],
  });
  const page = await browser.newPage();
  page.on("console", (m) => options.console?.(m.text()));
  page.on("pageerror", (e) => options.console?.(`page error: ${e.stack ?? e}`));
  await page.goto(server.origin + "/");
  await page.waitForFunction(() => "sortie" in globalThis);
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { evaluate: (...args) => page.evaluate(...args), page, origin: server.origin, close };
}
