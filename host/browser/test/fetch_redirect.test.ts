import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bench, streamOf, text, Upstream } from "./fetch_bench.js";

/** An upstream where /STATUS/PATH redirects to /PATH, or to what ?to= says. */
const redirecting = (t: Parameters<typeof Upstream.open>[0]) => Upstream.open(t, (req, res) => {
  const [, status, rest = ""] = /^\/(30\d)(\/.*)?$/.exec(req.url!.split("?")[0]!) ?? [];
  const to = new URL(req.url!, "http://x").searchParams.get("to") ?? rest;
  req.resume();
  if (status) res.writeHead(Number(status), { location: to, "set-cookie": "sid=1; Path=/; HttpOnly" }).end("moved");
  else res.end(req.method + " " + req.url);
});

describe("redirects, where the engine follows itself", () => {
  test("each hop is charged and recorded", async (t) => {
    const up = await redirecting(t), b = bench(t), r = await b.ok({ url: up.url + "/302/301/end" });
    assert.deepEqual([text(r.body), r.url, r.redirected, r.attempts], ["GET /end", up.url + "/end", true, 1]);
    assert.deepEqual(b.session.usage(), { requests: 3, bytes: 8 });
    const [record] = b.session.records();
    assert.deepEqual([record!.hops, record!.attempts], [2, 1]);
    assert.deepEqual(record!.exchanges.map((x) => [x.hop, x.attempt, x.status]), [[0, 1, 302], [1, 1, 301], [2, 1, 200]]);
  });

  for (const [method, status, after, body] of [
    ["POST", 301, "GET", false], ["POST", 302, "GET", false], ["POST", 303, "GET", false], ["POST", 307, "POST", true], ["POST", 308, "POST", true],
    ["PUT", 301, "PUT", true], ["PUT", 303, "GET", false], ["HEAD", 303, "HEAD", false],
  ] as const) {
    test(`${status} of ${method} goes on as ${after}`, async (t) => {
      const up = await redirecting(t);
      await bench(t).ok({ url: `${up.url}/${status}/end`, method, headers: [["Content-Type", "text/plain"]], ...(method !== "HEAD" && { body: new Uint8Array(3) }) });
      const last = up.requests.at(-1)!;
      assert.deepEqual([last.method, last.headers["content-length"], last.headers["content-type"]], [after, body ? "3" : undefined, body || method === "HEAD" ? "text/plain" : undefined]);
    });
  }

  test("as the request says", async (t) => {
    const up = await redirecting(t), b = bench(t);
    const manual = await b.ok({ url: up.url + "/302/end", redirect: "manual" });
    assert.deepEqual([manual.status, text(manual.body), manual.redirected, manual.headers.find(([name]) => name === "location")![1]], [302, "moved", false, "/end"]);
    assert.match((await b.fails("redirect_blocked", { url: up.url + "/302/end", redirect: "error" })).message, /\(status 302\)/);
    assert.equal(up.requests.length, 2);
  });

  test("no more than there may be", async (t) => {
    const up = await redirecting(t);
    const b = bench(t, { limits: { redirects: 1 } });
    await b.ok({ url: up.url + "/302/end" });
    assert.equal((await b.fails("too_many_redirects", { url: up.url + "/302/302/end" })).message, "redirects is 1, and the response redirects once more");
    assert.equal(b.session.records()[1]!.hops, 1);
    await bench(t, { limits: { redirects: 0 } }).fails("too_many_redirects", { url: up.url + "/302/end" });
  });

  test("each hop is held to the policy and to the budget", async (t) => {
    const up = await redirecting(t), other = await redirecting(t);
    const b = bench(t, { allow: [{ url: up.url, private: true }, "http://*:*"], limits: { requests: 7 } });
    const denied = await b.fails("address_denied", { url: `${up.url}/302?to=${other.url}/end` });
    assert.equal(denied.url, other.url + "/end");
    assert.equal((await b.fails("host_denied", { url: `${up.url}/302?to=https://127.0.0.1:1/` })).url, "https://127.0.0.1:1/");
    await b.fails("unsupported_protocol", { url: `${up.url}/302?to=file:///etc/passwd` });
    await b.fails("invalid_url", { url: `${up.url}/302?to=http://u:p@x/` });
    assert.equal(b.session.usage().requests, 5);
    await b.ok({ url: up.url + "/end" });
    await b.fails("limit_requests", { url: up.url + "/302/end" });
    assert.equal(b.session.records().at(-1)!.hops, 0);
    assert.equal(other.requests.length, 0);
  });

  test("credentials stay with their origin", async (t) => {
    const up = await redirecting(t), other = await redirecting(t);
    const b = bench(t), headers: [string, string][] = [["Authorization", "Bearer x"], ["Cookie", "a=b"], ["X-Other", "y"]];
    await b.ok({ url: up.url + "/302/end", headers });
    await b.ok({ url: `${up.url}/302?to=${other.url}/end`, headers });
    const [, same] = up.requests, [across] = other.requests;
    assert.deepEqual([same!.headers.authorization, same!.headers.cookie, same!.headers["x-other"]], ["Bearer x", "a=b; sid=1", "y"]);
    assert.deepEqual([across!.headers.authorization, across!.headers["x-other"]], [undefined, "y"]);
    assert.equal(across!.headers.cookie, "sid=1", "the same host, whose cookies know no port");
  });

  test("cookies of one chain are no other fetch's", async (t) => {
    const up = await redirecting(t), b = bench(t);
    await b.ok({ url: up.url + "/302/end" });
    await b.ok({ url: up.url + "/end" });
    assert.deepEqual(up.requests.map((r) => r.headers.cookie), [undefined, "sid=1", undefined]);
  });

  test("a Location is UTF-8", async (t) => {
    const up = await Upstream.open(t, (req, res) => {
      const bytes = req.url === "/ok" ? Buffer.from("/ü") : Buffer.from([0x2f, 0xfc]);
      if (/^\/(ok|bad)$/.test(req.url!)) res.socket!.end(Buffer.concat([Buffer.from("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: "), bytes, Buffer.from("\r\n\r\n")]));
      else res.end();
    });
    assert.equal((await bench(t).ok({ url: up.url + "/ok" })).url, up.url + "/%C3%BC");
    await bench(t).fails("invalid_url", { url: up.url + "/bad" });
  });

  test("cookies are the host's that set them", async (t) => {
    const up = await redirecting(t), named = up.url.replace("127.0.0.1", "localhost");
    await bench(t).ok({ url: `${up.url}/302?to=${encodeURIComponent(named + "/302?to=" + up.url + "/end")}` });
    assert.deepEqual(up.requests.map((r) => [r.headers.host!.split(":")[0], r.headers.cookie]), [["127.0.0.1", undefined], ["localhost", undefined], ["127.0.0.1", "sid=1"]]);
  });

  test("without a Location it is the answer", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(302).end("nowhere"));
    assert.equal((await bench(t).ok({ url: up.url })).status, 302);
  });

  test("what an upstream sends back of credentials is hidden", async (t) => {
    const up = await Upstream.open(t, (req, res) => res.writeHead(302, { location: `http://${req.headers.authorization} x/` }).end());
    const b = bench(t);
    const failure = await b.fails("invalid_url", { url: up.url, headers: [["Authorization", "hunter2hunter2"]] });
    assert.match(failure.message, /"http:\/\/\[redacted\] x\/" is not a valid URL/);
    assert(!JSON.stringify(b.session.records()).includes("hunter2"));
  });

  test("a body that came as a stream can't be sent again", async (t) => {
    const up = await Upstream.open(t, (req, res) => {
      req.resume();
      req.on("end", () => res.writeHead(307, { location: "/end" }).end());
    });
    assert.match((await bench(t).fails("redirect_blocked", { url: up.url, method: "POST", bodyStream: streamOf("a") })).message, /can't be sent again/);
  });

  test("a hop that fails is tried again, and not those before it", async (t) => {
    let broken = 1;
    const up = await Upstream.open(t, (req, res) => {
      if (req.url === "/start") res.writeHead(302, { location: "/end" }).end();
      else if (broken-- > 0) res.destroy();
      else res.end("there");
    });
    const b = bench(t, { retry: { attempts: 2, backoff: "1ms" } }), r = await b.ok({ url: up.url + "/start" });
    assert.deepEqual([r.attempts, up.requests.map((q) => q.path)], [2, ["/start", "/end", "/end"]]);
    assert.deepEqual(b.session.records()[0]!.exchanges.map((x) => [x.hop, x.attempt]), [[0, 1], [1, 1], [1, 2]]);
  });
});
