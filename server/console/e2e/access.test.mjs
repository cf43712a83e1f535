// Who may do what in the console, and where its token goes.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { deploy, openConsole, startServer, startWorld } from "./world.mjs";

let world, server;
const admin = "correct-horse-battery-staple";
const refusals = (text) => /401|403|404/.test(text);

before(async () => {
  world = await startWorld();
  server = await startServer({ token: admin });
  await deploy(server, world);
  await deploy(server, world, "other");
});

after(async () => {
  await server?.close();
  await world?.close();
});

async function token(role, plugins = ["showcase"]) {
  const response = await fetch(`${server.url}/v1/tokens`, { method: "POST", headers: { Authorization: `Bearer ${admin}` }, body: JSON.stringify({ role, plugins }) });
  return response.json();
}

async function signIn(page, text) {
  await page.getByLabel("Token").fill(text);
  await page.getByRole("button", { name: "Sign in" }).click();
}

test("a wrong token is told, a right one leads to the address that was asked for", async () => {
  const c = await openConsole(world, server, { hash: "#/plugins/showcase/run", allow: refusals });
  const { page } = c;
  const requests = [];
  page.on("request", (r) => requests.push(r));
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await signIn(page, "wrong");
  await page.getByText("That token isn't accepted.").waitFor();
  await signIn(page, "wrong wörd");
  await page.getByText("That isn't a token").waitFor();
  await signIn(page, admin);
  await page.getByRole("heading", { name: "Request" }).waitFor();
  await page.getByText("admin", { exact: true }).waitFor();

  await page.locator("#path").fill("/all");
  await page.getByRole("button", { name: "Run both" }).click();
  await page.getByRole("list", { name: "Compared" }).waitFor();
  let carried = 0;
  for (const r of requests) {
    assert(!r.url().includes(admin), "the token is in an address");
    const headers = await r.allHeaders();
    assert.equal(headers["cookie"], undefined);
    if (headers["sortie-authorization"] !== undefined) {
      carried++;
      assert.equal(new URL(r.url()).origin, server.url, "the token goes elsewhere");
    }
  }
  assert(carried > 3);
  for (const r of world.upstream.seen) assert(!JSON.stringify(r.headers).includes(admin), "the token reaches an upstream");
  assert.deepEqual(await page.evaluate(() => Object.values(localStorage)), [], "it's kept beyond the tab");
  assert.deepEqual(await page.context().cookies(), []);

  await page.reload();
  await page.getByRole("heading", { name: "Request" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), []);
  await c.close();
});

test("each role is offered what it may do", async () => {
  for (const [role, may] of Object.entries({ read: { save: 0, here: false }, deploy: { save: 1, here: true } })) {
    const { token: secret } = await token(role);
    const c = await openConsole(world, server, { allow: refusals });
    const { page } = c;
    await signIn(page, secret);
    await page.getByRole("link", { name: "showcase", exact: true }).waitFor();
    assert.equal(await page.getByRole("link", { name: "other", exact: true }).count(), 0);
    assert.equal(await page.getByRole("link", { name: "Deploy" }).count() > 1, may.here);
    await c.goto("#/plugins/showcase");
    assert.equal(await page.getByRole("button", { name: "Save traffic" }).count(), may.save, role);
    await c.goto("#/plugins/showcase/run");
    assert.equal(await page.getByRole("button", { name: "Run in this browser" }).isEnabled(), may.here, role);
    await page.getByRole("button", { name: "Run at the edge" }).click();
    await page.locator("[data-side=edge] .pill", { hasText: "200" }).waitFor();
    await c.goto("#/plugins/other");
    await page.getByText("The token is for the plugins showcase").waitFor();
    await c.close();
  }
  const { token: caller } = await token("invoke");
  const c = await openConsole(world, server, { allow: refusals });
  await signIn(c.page, caller);
  await c.page.getByText("the console needs one with the role read").waitFor();
  await c.close();
});

test("a token that is revoked meanwhile is asked for again", async () => {
  const { token: secret, id } = await token("read");
  const c = await openConsole(world, server, { allow: refusals });
  const { page } = c;
  await signIn(page, secret);
  await page.getByRole("link", { name: "showcase", exact: true }).click();
  await page.getByRole("heading", { name: "Versions and traffic" }).waitFor();
  await fetch(`${server.url}/v1/tokens/${id}`, { method: "DELETE", headers: { Authorization: `Bearer ${admin}` } });
  await page.getByRole("link", { name: "Logs", exact: true }).click();
  await page.getByText("You were signed out.").waitFor();
  await signIn(page, admin);
  await page.getByRole("heading", { name: "Log", exact: true }).waitFor();
  await c.close();
});

test("where plugins have an address of their own, the token doesn't go there", async () => {
  const apart = await startServer({ token: admin, apart: true });
  try {
    await deploy(apart, world);
    assert.equal((await fetch(apart.plugins)).status, 404, "the console is on the admin's side alone");
    const c = await openConsole(world, apart, { hash: "#/plugins/showcase/run", allow: (text) => refusals(text) || /CORS policy|ERR_FAILED/.test(text) });
    const { page } = c;
    await signIn(page, admin);
    await page.getByRole("heading", { name: "Request" }).waitFor();
    const there = [];
    page.on("request", (r) => r.url().startsWith(apart.plugins) && there.push(r));
    await page.getByRole("button", { name: "Run at the edge" }).click();
    await page.getByText("which is another origin than the console's (admin_addr)").waitFor();
    assert(there.length > 0);
    for (const r of there) assert(!JSON.stringify(await r.allHeaders()).includes("authorization"), "the token, or that there is one, goes there");
    await c.close();
  } finally {
    await apart.close();
  }
});
