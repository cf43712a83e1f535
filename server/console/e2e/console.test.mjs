// The console, used as people do: in Chromium, against the real server.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { deploy, manifest, openConsole, picture, startRelay, startServer, startWorld } from "./world.mjs";

let world, server;
const done = new Set();

before(async () => {
  world = await startWorld();
  server = await startServer({});
});

after(async () => {
  await server?.close();
  await world?.close();
  // A run in which one of these didn't happen has shown nothing, however green it is.
  assert.deepEqual([...done].sort(), ["compared", "deployed", "explained", "followed", "har", "hostile", "moved", "waterfall"]);
});

const report = async (id) => (await fetch(`${server.url}/v1/invocations/${id}`)).json();

test("an empty console says what to do, and a plugin is deployed in it", async () => {
  const c = await openConsole(world, server, { allow: (text) => text.includes("422") });
  const { page } = c;
  await page.getByRole("heading", { name: "No plugin yet" }).waitFor();
  await page.getByText("sortie deploy").waitFor();
  await picture(page, "empty");

  await page.getByRole("link", { name: "Deploy" }).first().click();
  const yaml = join(world.dir, "plugin.yaml");
  writeFileSync(yaml, manifest(world.upstream).replace("requests:", "requsts:"));
  await page.locator("#files").setInputFiles([world.wasm, yaml]);
  await page.getByText(/^Ready: plugin.wasm, .* and a manifest/).waitFor();
  assert.equal(await page.locator("#name").inputValue(), "showcase");

  await page.getByRole("button", { name: "Deploy" }).click();
  const wrong = page.getByRole("alert");
  await wrong.getByText("fetch.limits.requsts").waitFor();
  assert.match(await wrong.innerText(), /did you mean "requests"/);
  await wrong.getByRole("button", { name: /^Line 7, column/ }).click();
  const selected = await page.locator("#manifest").evaluate((t) => t.value.slice(t.selectionStart, t.selectionEnd));
  assert.match(selected, /requsts: 5000/);
  await picture(page, "deploy-wrong");

  await page.locator("#manifest").fill(manifest(world.upstream));
  await page.getByRole("button", { name: "Deploy" }).click();
  await page.getByRole("heading", { name: "Deployed showcase v1" }).waitFor();
  const lowered = page.getByRole("row", { name: /fetch.limits.requests 5000 100/ });
  await lowered.waitFor();
  await page.getByText(`${server.url}/p/showcase`).waitFor();
  await picture(page, "deploy-done");

  await page.getByRole("link", { name: "Run it" }).click();
  await page.getByRole("heading", { name: "Request" }).waitFor();
  assert.match(page.url(), /#\/plugins\/showcase\/run\?version=1$/);
  await c.close();
  assert.equal((await (await fetch(`${server.url}/v1/plugins`)).json()).plugins[0].name, "showcase");
  done.add("deployed");
});

test("files that are dropped anywhere are taken", async () => {
  const c = await openConsole(world, server, { hash: "#/deploy" });
  await c.page.locator(".drop").waitFor();
  const transfer = await c.page.evaluateHandle((yaml) => {
    const t = new DataTransfer();
    t.items.add(new File([yaml], "plugin.yaml"));
    t.items.add(new File([new Uint8Array(10)], "plugin.wasm"));
    return t;
  }, manifest(world.upstream, "dropped"));
  await c.page.dispatchEvent("main", "drop", { dataTransfer: transfer });
  await c.page.getByText("Ready: plugin.wasm, 10 B and a manifest.").waitFor();
  assert.equal(await c.page.locator("#name").inputValue(), "dropped");
  await c.close();
});

test("a plugin that runs at the edge and in the browser gives equal bodies for an equal budget", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/showcase/run", allow: (text) => text.includes("404") });
  const { page } = c;
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  await page.locator("#path").fill("/all?x=1");
  world.upstream.seen.length = 0;
  await page.getByRole("button", { name: "Run both" }).click();
  const verdict = page.getByRole("list", { name: "Compared" });
  await verdict.waitFor();
  const facts = await verdict.getByRole("listitem").allInnerTexts();
  assert.deepEqual(facts.map((f) => f.replace(/: .*/, "").trim()), ["✓ Same status", "✓ Same body", "✓ Same requests", "✓ Same bytes fetched"], facts.join("\n"));
  assert.match(facts[2], /: 5$/);
  const [edge, here] = await Promise.all(["edge", "browser"].map((side) => page.locator(`[data-side=${side}] pre`).innerText()));
  assert.equal(edge, here);
  assert.equal(JSON.parse(edge).length, 5);
  assert.equal(JSON.parse(edge)[4].code, "http_status");
  const fetched = world.upstream.seen.filter((r) => r.method === "GET");
  assert.equal(fetched.length, 10, "both hosts fetched");
  assert.equal(fetched.filter((r) => r.headers["sec-fetch-mode"] === "cors").length, 5, "five fetches are the browser's");
  for (const r of world.upstream.seen) for (const name of ["cookie", "referer", "sortie-authorization", "authorization"]) assert.equal(r.headers[name], undefined, name);
  await picture(page, "run-both");

  // The browser's own report is a page as well, and a HAR.
  await page.locator("[data-side=browser]").getByRole("link", { name: "Open the waterfall" }).click();
  await page.getByText("In this browser").first().waitFor();
  await assertOrder(page, null);
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "HAR" }).click()]);
  assertHAR(JSON.parse(readFileSync(await file.path(), "utf8")), 5);
  await picture(page, "browser-invocation");
  await c.close();
  done.add("compared");
});

test("a failure is the same in both hosts", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/showcase/run", allow: (text) => text.includes("500") });
  await c.page.locator("#path").fill("/fail?why=x");
  await c.page.getByRole("button", { name: "Run both" }).click();
  await c.page.getByRole("list", { name: "Compared" }).waitFor();
  for (const side of ["edge", "browser"]) await c.page.locator(`[data-side=${side}] .pill`, { hasText: "500 plugin_error" }).waitFor();
  await c.close();
});

test("a request's method, headers and body arrive", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/showcase/run" });
  const { page } = c;
  await page.locator("#method").fill("POST");
  await page.locator("#path").fill("/echo");
  await page.getByText("Headers and body").click();
  await page.locator("#headers").fill("X-Test: seen\nCookie: none=1");
  await page.locator("#body").fill("what was sent <b>");
  await page.getByRole("button", { name: "Run both" }).click();
  await page.getByRole("list", { name: "Compared" }).waitFor();
  await page.getByText("Not sent, since a page may not: cookie.").waitFor();
  for (const side of ["edge", "browser"]) {
    const card = page.locator(`[data-side=${side}]`);
    assert.equal(await card.locator("pre").innerText(), "what was sent <b>");
    await card.getByText(/ headers$/).click();
    assert.match(await card.locator(".headers").innerText(), /x-seen:?\s+seen/);
  }
  await c.close();
});

test("the waterfall has every fetch, attempt, hop and loser where it belongs", async () => {
  const answer = await fetch(`${server.url}/p/showcase/mixed`);
  const id = answer.headers.get("sortie-invocation");
  const facts = await report(id);
  const c = await openConsole(world, server, { hash: `#/invocations/${id}` });
  const { page } = c;
  await page.getByRole("heading", { name: "Waterfall" }).waitFor();
  await assertOrder(page, facts);
  for (const text of ["3 attempts", "2 attempts", "3 hops", "try 2 · hedge", "hop 3", "host_denied", "method_denied", "timeout", "cancelled"]) {
    assert(await page.locator(".waterfall").getByText(text, { exact: true }).count(), `the waterfall doesn't show ${text}`);
  }
  assert.equal(await page.locator(".wf-row.fetch .wf-bar.whole.cancelled").count(), 2, "the race's losers");
  assert.equal(await page.locator(".wf-mark.bad").count(), 2, "what was denied sent nothing");
  const meters = await page.getByRole("meter").evaluateAll((all) => all.map((m) => [m.title, Number(m.ariaValueNow), Number(m.ariaValueMax)]));
  assert.deepEqual(meters, facts.budget.map((b) => [b.name, b.used, b.limit]));

  // With the keyboard alone: to a row, and its table.
  const row = page.locator("#fetch-2 > button");
  await row.focus();
  await page.keyboard.press("Enter");
  assert.equal(await row.getAttribute("aria-expanded"), "true");
  assert.equal(await page.locator("#fetch-2-details tbody tr").count(), 3);
  done.add("waterfall");

  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "HAR" }).click()]);
  assert.equal(file.suggestedFilename(), `${id}.har`);
  assertHAR(JSON.parse(readFileSync(await file.path(), "utf8")), facts.fetches.reduce((sum, f) => sum + Math.max(f.exchanges.length, 1), 0));
  done.add("har");

  await page.getByRole("link", { name: "Why was this denied?" }).first().click();
  const decision = page.locator(".decision");
  await decision.getByText("no rule matches").waitFor();
  assert.match(await decision.innerText(), /Denied host_denied/);
  await page.locator("#explain-url").fill("https://api.example.com/v1/prices");
  await page.getByRole("button", { name: "Explain" }).click();
  await decision.getByText("Allowed").waitFor();
  assert.match(await decision.innerText(), /Rule 2: https:\/\/api\.example\.com\/v1/);
  await page.locator("#explain-method").fill("DELETE");
  await page.locator("#explain-url").fill(`${world.upstream.origin}/item/1`);
  await page.getByRole("button", { name: "Explain" }).click();
  await decision.getByText("method_denied").waitFor();
  await c.close();
  done.add("explained");
});

test("a log is followed live, paused and filtered", async () => {
  const relay = await startRelay(server);
  const c = await openConsole(world, relay, { hash: "#/plugins/showcase/logs", allow: (text) => text.includes("ERR_") });
  const { page } = c;
  await page.getByText("Live", { exact: true }).waitFor();
  const log = (line) => fetch(`${server.url}/p/showcase/log?line=${encodeURIComponent(line)}`);
  const began = Date.now();
  await log("a line while I look");
  await page.getByText("a line while I look").waitFor();
  assert(Date.now() - began < 15_000);

  await page.getByRole("button", { name: "Pause" }).click();
  await log("a line while paused");
  await page.getByText("Paused · 1 new").waitFor();
  assert.equal(await page.getByText("a line while paused").count(), 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByText("a line while paused").waitFor();

  await page.getByLabel("Filter").fill("PAUSED");
  await page.getByText("a line while I look").waitFor({ state: "hidden" });
  assert.equal(await page.getByText("a line while paused").isVisible(), true);
  await page.getByLabel("Filter").fill("");
  await page.locator("#level").selectOption("warn");
  await page.getByText("a line while paused").waitFor({ state: "hidden" });
  await page.locator("#level").selectOption("debug");

  // A connection that breaks is taken up again from where it was.
  const before = await page.locator(".line").count();
  relay.cut();
  await page.getByText(/^Reconnecting in \d s$/).waitFor();
  await log("a line that nobody heard");
  await page.getByText("a line that nobody heard").waitFor();
  assert.equal(await page.locator(".line").count(), before + 1, "lines are there twice, or missing");

  await page.locator(".line", { hasText: "a line while paused" }).getByRole("link").click();
  await page.getByRole("heading", { name: "GET /log" }).waitFor();
  await c.close();
  await relay.close();
  done.add("followed");
});

test("traffic is moved, rolled back, and nobody's change is undone unseen", async () => {
  await deploy(server, world, "showcase", "limits: {cpu: 2s}\n");
  const c = await openConsole(world, server, { hash: "#/plugins/showcase", allow: (text) => text.includes("409") });
  const { page } = c;
  const shares = async () => (await (await fetch(`${server.url}/v1/plugins/showcase`)).json()).traffic;
  const [first, second] = [1, 2].map((n) => page.getByLabel(`Share of version ${n} in percent`));
  await first.fill("25");
  await page.getByText("The shares are 125 % together").waitFor();
  assert.equal(await page.getByRole("button", { name: "Save traffic" }).isDisabled(), true);
  await second.fill("75");
  await page.getByRole("img", { name: "Traffic: version 2: 75 %, version 1: 25 %" }).waitFor();
  await Promise.all([page.waitForResponse((r) => r.request().method() === "PUT"), page.getByRole("button", { name: "Save traffic" }).click()]);
  assert.deepEqual(await shares(), [{ version: 1, weight: 25 }, { version: 2, weight: 75 }]);

  await page.getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("img", { name: "Traffic: version 2: 100 %" }).waitFor();
  assert.deepEqual(await shares(), [{ version: 2, weight: 100 }]);

  const other = await fetch(`${server.url}/v1/plugins/showcase/traffic`, { method: "PUT", body: '[{"version":1,"weight":100}]' });
  assert.equal(other.status, 200);
  await page.getByRole("button", { name: "All to this version: v1" }).click();
  await page.getByRole("button", { name: "Save traffic" }).click();
  await page.getByText("Somebody else changed it meanwhile").waitFor();
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("img", { name: "Traffic: version 1: 100 %" }).waitFor();
  await c.close();
  done.add("moved");
});

test("a plugin is removed only by who writes its name", async () => {
  await deploy(server, world, "short-lived");
  const c = await openConsole(world, server, { hash: "#/plugins/short-lived" });
  await c.page.getByRole("button", { name: "Remove…" }).click();
  const confirm = c.page.getByRole("button", { name: "Remove it" });
  assert.equal(await confirm.isDisabled(), true);
  await c.page.getByLabel("Its name, to be sure").fill("short-lived");
  await confirm.click();
  await c.page.getByRole("heading", { name: "Plugins" }).waitFor();
  assert.equal((await fetch(`${server.url}/v1/plugins/short-lived`)).status, 404);
  await c.close();
});

test("nothing that a plugin writes is markup, and it's let nowhere", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/showcase/run" });
  const { page } = c;
  await page.locator("#path").fill("/hostile");
  await page.getByRole("button", { name: "Run both" }).click();
  await page.getByRole("list", { name: "Compared" }).waitFor();
  for (const side of ["edge", "browser"]) assert.match(await page.locator(`[data-side=${side}] pre`).innerText(), /^<!doctype html><img src=x onerror=/);
  await c.goto("#/plugins/showcase/logs");
  await page.locator(".line", { hasText: "<img src=x onerror=" }).first().waitFor();
  const id = (await fetch(`${server.url}/p/showcase/hostile`)).headers.get("sortie-invocation");
  await c.goto(`#/invocations/${id}`);
  await page.locator(".line", { hasText: "<script>" }).waitFor();
  assert.equal(await page.locator("main img, main script, main iframe").count(), 0);
  assert.doesNotMatch(await page.title(), /taken/);

  // A redirect isn't followed: it may lead anywhere, and the token's header would go along.
  world.upstream.seen.length = 0;
  await c.goto("#/plugins/showcase/run");
  await page.locator("#path").fill("/redirect");
  await page.getByRole("button", { name: "Run at the edge" }).click();
  await page.getByText("The plugin redirects.").waitFor();
  await page.locator("[data-side=edge] .pill", { hasText: "302" }).waitFor();
  assert.deepEqual(world.upstream.seen, []);

  // In this browser it gets no nearer to /v1 than at the edge, though this server asks for no token.
  await deploy(server, world, "inward", "", { origin: server.url });
  const asked = [];
  page.on("request", (r) => asked.push(new URL(r.url()).pathname));
  await c.goto("#/plugins/inward/run");
  await page.locator("#path").fill("/all");
  await page.getByRole("button", { name: "Run in this browser" }).click();
  const inward = JSON.parse(await page.locator("[data-side=browser] pre").innerText());
  assert.deepEqual(inward.map((one) => one.code), Array(5).fill("browser_network"));
  assert(asked.includes("/v1/plugins/inward/versions/1/wasm"), "the requests are seen");
  assert.deepEqual(asked.filter((path) => /item|missing/.test(path)), []);

  // The page's policy holds what the code is careful of.
  const held = await page.evaluate(async () => {
    const tried = async (f) => {
      await new Promise((resolve) => setTimeout(resolve)); // what the debugger calls may use eval, what comes later may not
      try {
        await f();
        return "done";
      } catch (error) {
        return error.name;
      }
    };
    return [await tried(() => (document.body.innerHTML = "<b>x</b>")), await tried(() => eval("1")), await tried(() => new Worker("/p/showcase/hostile"))];
  });
  assert.deepEqual(held, ["TypeError", "EvalError", "TypeError"]);
  await c.page.context().close(); // those three are what the page complains of

  const head = await fetch(server.url);
  for (const directive of ["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]) {
    assert(head.headers.get("content-security-policy").includes(directive), directive);
  }
  assert.doesNotMatch(head.headers.get("content-security-policy"), /unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')/);
  assert.match((await fetch(`${server.url}/p/showcase/hostile`)).headers.get("content-security-policy"), /^sandbox allow-scripts allow-forms/);
  done.add("hostile");
});

test("an address that names nothing says so", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/none", allow: (text) => text.includes("404") });
  await c.page.getByText('There is no plugin "none".').waitFor();
  await c.goto("#/invocations/0123");
  await c.page.getByText("Reports are kept in memory").first().waitFor();
  await c.goto("#/no/such/page");
  await c.page.getByRole("heading", { name: "There is nothing here" }).waitFor();
  await c.goto("#/browser/0123");
  await c.page.getByRole("heading", { name: "Not here any more" }).waitFor();
  await c.close();
});

/** The bars' places are their starts, on one scale. Without a report, that of the page is right if it's in the order of its rows' starts. */
async function assertOrder(page, facts) {
  const rows = await page.locator("button.wf-line").evaluateAll((all) =>
    all.map((row) => {
      const track = row.querySelector(".wf-track").getBoundingClientRect();
      const bar = row.querySelector(".wf-bar, .wf-mark");
      const left = bar.classList.contains("wf-mark") ? bar.offsetLeft + 1 : bar.getBoundingClientRect().left - track.left;
      return { start: Number(row.dataset.start), left, width: bar.getBoundingClientRect().width, track: track.width };
    }),
  );
  assert(rows.length >= 5, `only ${rows.length} rows`);
  if (facts) {
    const expected = facts.fetches.flatMap((f) => [f, ...(f.exchanges.length > 1 ? f.exchanges : [])]);
    assert.deepEqual(rows.map((r) => r.start), expected.map((x) => x.start_ms));
    const all = facts.fetches.flatMap((f) => [f, ...f.exchanges]);
    const end = Math.max(facts.total_ms, ...all.map((x) => facts.queue_ms + x.start_ms + x.elapsed_ms));
    rows.forEach((r, i) => {
      const x = expected[i];
      const from = ((facts.queue_ms + x.start_ms) / end) * r.track;
      assert(Math.abs(r.left - from) < 1.5, `row ${i} begins at ${r.left} px, not ${from}`);
      if (x.exchanges?.length !== 0) assert(Math.abs(r.width - Math.max((x.elapsed_ms / end) * r.track, 3)) < 1.5, `row ${i} is ${r.width} px wide`);
    });
  }
  for (const a of rows) for (const b of rows) assert(a.start >= b.start || a.left <= b.left + 1, `a bar that begins at ${a.start} ms is right of one at ${b.start} ms`);
}

/** HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/): what every reader needs of it. */
function assertHAR(har, entries) {
  const { log } = har;
  assert.equal(log.version, "1.2");
  assert.equal(typeof log.creator.name, "string");
  assert.equal(typeof log.creator.version, "string");
  assert.equal(log.entries.length, entries);
  const pages = new Set(log.pages.map((p) => p.id));
  let last = 0;
  for (const e of log.entries) {
    assert(pages.has(e.pageref));
    const started = Date.parse(e.startedDateTime);
    assert(started > 0 && e.time >= 0);
    last = Math.max(last, started);
    for (const key of ["method", "url", "httpVersion"]) assert.equal(typeof e.request[key], "string", key);
    for (const list of [e.request.cookies, e.request.headers, e.request.queryString, e.response.cookies, e.response.headers]) assert(Array.isArray(list));
    for (const key of ["status", "headersSize", "bodySize"]) assert.equal(typeof e.response[key], "number", key);
    assert.equal(typeof e.response.content.size, "number");
    assert.equal(typeof e.response.content.mimeType, "string");
    const parts = ["blocked", "dns", "connect", "send", "wait", "receive"].map((key) => e.timings[key] ?? -1);
    assert(parts.every((ms) => ms >= -1));
    const sum = parts.filter((ms) => ms > 0).reduce((all, ms) => all + ms, 0);
    assert(Math.abs(sum - e.time) < 1, `timings sum to ${sum}, time is ${e.time}`);
  }
}
