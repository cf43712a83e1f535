// How the console looks and whom it shuts out: every view in both themes and on a phone, seen by axe and left as pictures.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { axeSource, deploy, openConsole, picture, startServer, startWorld } from "./world.mjs";

let world, server, views;
let seen = 0;

before(async () => {
  world = await startWorld();
  server = await startServer({});
  await deploy(server, world);
  await deploy(server, world, "showcase", "limits: {cpu: 2s}\n");
  await deploy(server, world, "showcase", "limits: {cpu: 300s}\n");
  await deploy(server, world, "prices");
  await fetch(`${server.url}/v1/plugins/showcase/traffic`, { method: "PUT", body: '[{"version":1,"weight":10},{"version":2,"weight":30},{"version":3,"weight":60}]' });
  for (const path of ["/hostile", "/all", "/fail?why=so", "/log?line=a%20line", "/"]) await fetch(`${server.url}/p/showcase${path}`);
  const id = (await fetch(`${server.url}/p/showcase/mixed`)).headers.get("sortie-invocation");
  views = {
    plugins: "#/plugins",
    overview: "#/plugins/showcase",
    run: "#/plugins/showcase/run",
    invocations: "#/plugins/showcase/invocations",
    logs: "#/plugins/showcase/logs",
    policy: "#/plugins/showcase/policy?url=https%3A%2F%2Felsewhere.example%2Fprivate&method=GET",
    invocation: `#/invocations/${id}`,
    deploy: "#/deploy",
    missing: "#/plugins/none",
  };
});

after(async () => {
  await server?.close();
  await world?.close();
  assert.equal(seen, 3 * 9 + 3, "views that were looked at");
});

for (const [look, options] of Object.entries({ light: {}, dark: { scheme: "dark" }, phone: { width: 360, height: 740, scheme: "dark" } })) {
  test(`every view, ${look}`, async () => {
    const c = await openConsole(world, server, { ...options, allow: (text) => text.includes("404") });
    const { page } = c;
    await page.locator("main h1").waitFor();
    for (const [name, hash] of Object.entries(views)) {
      await c.goto(hash);
      if (name === "run") {
        await page.locator("#path").fill("/all");
        await page.getByRole("button", { name: "Run at the edge" }).click();
        await page.locator("[data-side=edge] .result-head").waitFor();
      }
      if (name === "logs") await page.locator(".line").first().waitFor();
      if (name === "policy") await page.locator(".decision").waitFor();
      if (name === "invocation") await page.locator("#fetch-2 > button").click();
      await page.locator("h1").first().focus();
      await inspect(page, `${name}-${look}`);
    }
    await c.close();
  });

  test(`signing in, ${look}`, async () => {
    const closed = await startServer({ token: "correct-horse-battery-staple" });
    try {
      const c = await openConsole(world, closed, { ...options, allow: (text) => text.includes("401") });
      await c.page.getByRole("heading", { name: "Sign in" }).waitFor();
      await c.page.getByLabel("Token").fill("wrong");
      await c.page.getByRole("button", { name: "Sign in" }).click();
      await c.page.getByText("That token isn't accepted.").waitFor();
      await inspect(c.page, `signin-${look}`);
      await c.close();
    } finally {
      await closed.close();
    }
  });
}

test("the theme is chosen and remembered", async () => {
  const c = await openConsole(world, server);
  const { page } = c;
  const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  await page.locator("main h1").waitFor();
  const light = await background();
  await page.getByRole("button", { name: "Use the dark theme" }).click();
  const dark = await background();
  assert.notEqual(light, dark);
  await page.reload();
  await page.getByRole("button", { name: "Use the light theme" }).waitFor();
  assert.equal(await background(), dark);
  await c.close();
});

test("the console is used with the keyboard alone", async () => {
  const c = await openConsole(world, server);
  const { page } = c;
  await page.locator("main h1").waitFor();
  await page.evaluate(() => document.activeElement.blur());
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  for (let tabs = 0; (await focused()) !== "showcase"; tabs++) {
    assert(tabs < 12, "the plugin can't be tabbed to");
    await page.keyboard.press("Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", `the focus on “${await focused()}” can't be seen`);
  }
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Versions and traffic" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1", "a new place is read out from its heading");
  await c.close();
});

/** What axe and a ruler say of the page; and its picture. */
async function inspect(page, name) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert(wide <= 0, `${name} is ${wide} px wider than the screen`);
  await picture(page, name);
  const { violations, passes } = await axe(page);
  const serious = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("\n")}`), [], name);
  assert(passes.length > 15, `axe looked at next to nothing of ${name}`);
  seen++;
}

/** axe runs in the page's frame by the debugger's leave: the page's own policy lets no such script in. */
async function axe(page) {
  await page.evaluate(axeSource);
  return page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations", "passes"] }).then(({ violations, passes }) => ({ violations, passes: passes.map((p) => p.id) })));
}
