// What the tests run in: a server, an upstream, a built plugin, a browser.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { chromiumArgs, findChromium } from "../../../host/browser/test/find_chromium.mjs";
import { startUpstream } from "./upstream.mjs";

const here = import.meta.dirname;
const root = resolve(here, "../../..");
const shots = join(root, "build/console-screenshots");

export const axeSource = readFileSync(join(here, "../node_modules/axe-core/axe.min.js"), "utf8");

/** The binary under test: SORTIE_BIN, or build/sortie. */
function binary() {
  const file = process.env.SORTIE_BIN ?? join(root, "build/sortie");
  assert(existsSync(file), `There is no ${file}: run make build, or say where the binary is in SORTIE_BIN.`);
  return file;
}

/** The plugin, built as sortie build does it. */
function buildPlugin(dir) {
  const file = join(dir, "plugin.wasm");
  execFileSync("go", ["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "."], {
    cwd: join(here, "plugin"),
    env: { ...process.env, GOOS: "wasip1", GOARCH: "wasm", CGO_ENABLED: "0" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  return file;
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Starts a server. It has a token if one is given, else it's open; with apart, plugins are at an address of their own. */
export async function startServer({ token = "", apart = false }) {
  const dir = mkdtempSync(join(tmpdir(), "sortie-console-"));
  const url = `http://127.0.0.1:${await freePort()}`;
  const plugins = apart ? `http://127.0.0.1:${await freePort()}` : url;
  writeFileSync(join(dir, "sortie.yaml"), `private: ["http://127.0.0.1:*"]\nceilings: {fetch: {limits: {requests: 100}}}\n`);
  const child = spawn(binary(), ["serve", "--addr", new URL(plugins).host, "--data", join(dir, "data"), "--config", join(dir, "sortie.yaml")], {
    env: { PATH: process.env.PATH, HOME: dir, ...(apart ? { SORTIE_ADMIN_ADDR: new URL(url).host } : {}), ...(token === "" ? {} : { SORTIE_ADMIN_TOKEN: token }) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const ended = new Promise((done) => child.once("exit", done));
  const close = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    try {
      if ((await fetch(`${url}/readyz`)).ok) break;
    } catch {
      // not yet
    }
    if (tries > 200 || child.exitCode !== null) {
      await close();
      throw new Error(`The server didn't start:\n${log}`);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  if (!(await (await fetch(url)).text()).includes("/console/app.js")) {
    await close();
    throw new Error("The binary has no console: run make build.");
  }
  return { url, plugins, token, close };
}

/** Another address of a server, at which connections can be cut. */
export async function startRelay({ url, token }) {
  const open = new Set();
  const relay = createServer((here) => {
    const there = connect(Number(new URL(url).port), "127.0.0.1");
    for (const socket of [here, there]) {
      open.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => (here.destroy(), there.destroy(), open.delete(socket)));
    }
    here.pipe(there).pipe(here);
  });
  await new Promise((done) => relay.listen(0, "127.0.0.1", done));
  relay.unref(); // a test that fails doesn't close it
  const cut = () => open.forEach((socket) => socket.destroy());
  return { url: `http://127.0.0.1:${relay.address().port}`, token, cut, close: () => new Promise((done) => (relay.close(done), cut())) };
}

/** The manifest of the tests' plugin. */
export function manifest({ origin }, name = "showcase", more = "") {
  return `name: ${name}
wasm: plugin.wasm
fetch:
  allow:
    - {url: "${origin}", methods: [GET, HEAD], private: true}
    - https://api.example.com/v1/
  limits: {requests: 5000, concurrency: 8}
config: {upstream: "${origin}"}
${more}`;
}

/** Everything, for a file of tests. */
export async function startWorld() {
  mkdirSync(shots, { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), "sortie-plugin-"));
  const wasm = buildPlugin(dir);
  const upstream = await startUpstream();
  const browser = await chromium.launch({ executablePath: findChromium(), headless: true, args: chromiumArgs });
  return {
    dir,
    wasm,
    upstream,
    browser,
    close: async () => {
      await browser.close();
      await upstream.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Deploys without the console. */
export async function deploy(server, world, name = "showcase", more = "", upstream = world.upstream) {
  const body = new FormData();
  body.set("manifest", new Blob([manifest(upstream, name, more)]));
  body.set("wasm", new Blob([readFileSync(world.wasm)]));
  const headers = server.token === "" ? {} : { Authorization: `Bearer ${server.token}` };
  const response = await fetch(`${server.url}/v1/plugins/${name}`, { method: "PUT", body, headers });
  assert(response.ok, await response.text());
}

/** Leaves a picture of the whole page in build/console-screenshots. */
export async function picture(page, name) {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

/** A page of the console. Whatever it complains of fails the test: the policy's violations are among that. */
export async function openConsole(world, server, { hash = "", scheme = "light", width = 1280, height = 860, allow = () => false } = {}) {
  const context = await world.browser.newContext({ colorScheme: scheme, viewport: { width, height }, acceptDownloads: true, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !allow(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(`${server.url}/${hash}`);
  return {
    page,
    goto: async (to) => {
      // The old view stands until the event is there: only another heading than its is the new one's.
      await page.evaluate((hash) => {
        if (location.hash === hash) return;
        document.querySelector("main h1")?.setAttribute("data-old", "");
        location.hash = hash;
      }, to);
      await page.waitForFunction(() => document.querySelector("main h1:not([data-old])") !== null && document.querySelector(".loading") === null);
    },
    close: async () => {
      await context.close();
      assert.deepEqual(complaints, [], "the page complained");
    },
  };
}
