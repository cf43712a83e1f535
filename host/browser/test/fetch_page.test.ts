import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { pagePlatform, type Platform } from "../src/fetch/index.js";
import { bench, failedWith, request, streamOf, text } from "./fetch_bench.js";

interface Seen {
  url: string;
  init: RequestInit;
  body: string;
}

/** A page whose fetch() is made up: what it was asked, and what it answers. Like a page's, it rejects with a TypeError that says nothing. */
function page(answer: (seen: Seen) => Response | Promise<Response> | undefined): Platform & { seen: Seen[]; aborted: number } {
  const seen: Seen[] = [];
  const platform = {
    ...pagePlatform(((url: string, init: RequestInit) => new Promise<Response>((resolve, reject) => {
      const one = { url, init, body: init.body instanceof Uint8Array ? text(init.body) : "" };
      seen.push(one);
      init.signal!.addEventListener("abort", () => {
        platform.aborted++;
        reject(new DOMException("aborted", "AbortError"));
      });
      const response = answer(one);
      if (response) resolve(response);
    })) as typeof fetch),
    seen, aborted: 0,
  };
  return platform;
}

/** A response with the properties that only a browser's fetch() can give one. */
function answered(body: BodyInit | null, of: { status?: number; headers?: Record<string, string>; url?: string; redirected?: boolean; type?: ResponseType } = {}): Response {
  const response = new Response(body, { status: of.status ?? 200, headers: of.headers });
  for (const [name, value] of Object.entries({ url: of.url ?? "", redirected: of.redirected ?? false, type: of.type ?? "cors" })) {
    Object.defineProperty(response, name, { value });
  }
  return response;
}

function opaque(): Response {
  const response = answered(null, { type: "opaqueredirect" });
  Object.defineProperty(response, "status", { value: 0 });
  return response;
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("a page", () => {
  test("asks without its user's credentials, cache and Referer, by CORS", async (t) => {
    const p = page(() => answered("hi", { type: "basic" })), b = bench(t, {}, p);
    const r = await b.ok({ url: "https://a.example/x#f", method: "POST", headers: [["X-A", "ü"]], body: new TextEncoder().encode("body") });
    const [{ url, init, body }] = p.seen as [Seen];
    assert.deepEqual([url, init.method, init.mode, init.credentials, init.cache, init.referrerPolicy, init.redirect, body], [
      "https://a.example/x", "POST", "cors", "omit", "no-store", "no-referrer", "follow", "body"]);
    assert.deepEqual(init.headers, [["x-a", "Ã¼"]]);
    assert.deepEqual([text(r.body), r.url], ["hi", "https://a.example/x"]);
    assert.deepEqual(b.session.unenforced(), ["browser_address"]);
  });

  for (const [name, value] of [
    ["Cookie", "a=b"], ["Origin", "x"], ["Referer", "x"], ["Via", "x"], ["Sec-Fetch-Mode", "x"], ["Accept-Encoding", "gzip"], ["Date", "x"], ["DNT", "1"],
    ["X-HTTP-Method-Override", "get, TRACE"],
  ] as const) {
    test(`can't set ${name}`, async (t) => {
      const p = page(() => answered("")), b = bench(t, {}, p);
      const failure = await b.fails("browser_header", { url: "https://a.example/", headers: [[name, value]] });
      assert.deepEqual([failure.retryable, failure.attempts, p.seen.length, b.session.usage().requests], [false, 0, 0, 0]);
      assert.match(failure.message, new RegExp(name.toLowerCase()));
    });
  }

  test("drops what the host owns without a word", async (t) => {
    const p = page(() => answered(""));
    await bench(t, {}, p).ok({ url: "https://a.example/", headers: [["Host", "x"], ["Content-Length", "1"], ["TE", "x"], ["Proxy-Authorization", "x"], ["Sortie-Role", "x"], ["X-HTTP-Method", "GET"]] });
    assert.deepEqual(p.seen[0]!.init.headers, [["x-http-method", "GET"]]);
  });

  test("is told of what the server would refuse too by the server's code", async (t) => {
    const b = bench(t, { allow: ["https://a.example"] }, page(() => answered("")));
    await b.fails("host_denied", { url: "https://b.example/", headers: [["Cookie", "a=b"]] });
    await b.fails("request_too_large", { url: "https://a.example/", method: "POST", headers: [["Cookie", "a=b"]], body: new Uint8Array(2 << 20) });
  });

  test("isn't told why fetch() failed", async (t) => {
    const p = page(() => Promise.reject(new TypeError("Failed to fetch"))), b = bench(t, { retry: { attempts: 2, backoff: "0s", max_backoff: "0s" } }, p);
    assert.equal((await b.fails("browser_network", { url: "https://a.example/" })).attempts, 2);
    const post = await b.fails("browser_network", { url: "https://a.example/", method: "POST" });
    assert.deepEqual([post.attempts, post.retryable], [1, false]);
    const sync = { ...pagePlatform((() => { throw new TypeError("no"); }) as typeof fetch) };
    await bench(t, {}, sync).fails("browser_network", { url: "https://a.example/" });
  });

  test("isn't told why a body ended", async (t) => {
    const broken = () => new ReadableStream({ pull: (c) => c.error(new TypeError("network error")) });
    const b = bench(t, {}, page(({ url }) => answered(broken(), { headers: url.endsWith("gzip") ? { "content-encoding": "gzip" } : {} })));
    await b.fails("read_error", { url: "https://a.example/" });
    await b.fails("browser_network", { url: "https://a.example/gzip" });
  });

  test("sees no redirect that it doesn't follow", async (t) => {
    const p = page(() => opaque()), b = bench(t, {}, p);
    assert.equal((await b.fails("browser_redirect", { url: "https://a.example/", redirect: "manual" })).retryable, false);
    await b.fails("redirect_blocked", { url: "https://a.example/", redirect: "error" });
    await bench(t, { limits: { redirects: 0 } }, p).fails("too_many_redirects", { url: "https://a.example/" });
    assert.deepEqual(p.seen.map(({ init }) => init.redirect), ["manual", "manual", "manual"]);
    assert.equal(p.aborted, 3);
  });

  test("follows by itself, and where that ends is held to the policy", async (t) => {
    const p = page(({ url }) => answered("body", { url: new URL(url).searchParams.get("to")!, redirected: true }));
    const b = bench(t, { allow: ["https://a.example", "https://b.example/ok/", "https://127.0.0.1"], limits: { requests: 7 } }, p);
    const r = await b.ok({ url: "https://a.example/?to=https://b.example/ok/x" });
    assert.deepEqual([r.url, r.redirected, b.session.usage().requests], ["https://b.example/ok/x", true, 2]);
    const denied = await b.fails("host_denied", { url: "https://a.example/?to=https://b.example/private" });
    assert.equal(denied.url, "https://b.example/private");
    await b.fails("address_denied", { url: "https://a.example/?to=https://127.0.0.1/" });
    assert.deepEqual(b.session.usage(), { requests: 4, bytes: 4 }, "what was thrown away wasn't read");
    assert.deepEqual(b.session.unenforced(), ["browser_address", "browser_redirect"]);
    const [record] = b.session.records();
    assert.deepEqual([record!.hops, record!.rule], [1, "https://b.example/ok/"]);
    assert.equal(p.aborted, 2);
  });

  test("collects a body that comes as a stream", async (t) => {
    const p = page(() => answered("")), b = bench(t, { limits: { request_bytes: 10 } }, p);
    await b.ok({ url: "https://a.example/", method: "POST", bodyStream: streamOf("one ", "two") });
    assert.equal(p.seen[0]!.body, "one two");
    assert.deepEqual(b.session.unenforced(), ["browser_address", "browser_upload"]);
    await b.fails("request_too_large", { url: "https://a.example/", method: "POST", bodyStream: streamOf("more than that", "!") });
    await b.fails("invalid_request", { url: "https://a.example/", method: "POST", bodyStream: streamOf("ab"), bodyLength: 3 });
    await b.fails("timeout", { url: "https://a.example/", method: "POST", bodyStream: streamOf(new Promise(() => {})), timeoutMs: 20 });
    assert.equal(p.seen.length, 1);
  });

  test("leaves out a length that may be that of an encoded body", async (t) => {
    const of = (length: string, type: ResponseType = "cors") => ({ headers: { "content-length": length, etag: "x" }, type });
    const p = page(({ url }) => answered("body", url.endsWith("/encoded") ? of("3") : url.endsWith("/own") ? of("4", "basic") : of("4")));
    const b = bench(t, {}, p), names = async (path: string, stream = false) => (await b.ok({ url: "https://a.example" + path, stream })).headers.map(([name]) => name).filter((name) => name !== "content-type");
    assert.deepEqual(await names("/encoded"), ["etag"]);
    assert.deepEqual(await names("/plain"), ["content-length", "etag"]);
    assert.deepEqual(await names("/plain", true), ["etag"]);
    assert.deepEqual(await names("/own", true), ["content-length", "etag"]);
  });

  test("ends at once with its fetch, and leaves no timer", async (t) => {
    const before = timers();
    const p = page(() => undefined), b = bench(t, { limits: { concurrency: 2 } }, p);
    const outcomes = [1, 2, 3].map(() => b.go({ url: "https://a.example/" }));
    await new Promise(setImmediate);
    assert.equal(p.seen.length, 2);
    assert(timers() > before);
    const start = performance.now();
    await b.session.close();
    assert(performance.now() - start < 50);
    for (const outcome of outcomes) failedWith("cancelled", await outcome);
    assert.equal(p.aborted, 2);
    assert.equal(timers(), before);
  });

  test("is cancelled even where fetch() doesn't heed it", async (t) => {
    let late!: (response: Response) => void, dropped = false;
    const deaf = pagePlatform((() => new Promise<Response>((resolve) => (late = resolve))) as typeof fetch);
    const b = bench(t, {}, deaf);
    const outcome = b.go({ url: "https://a.example/", timeoutMs: 20 });
    failedWith("timeout", await outcome);
    assert.equal(b.client.slots.used, 0);
    late(answered(new ReadableStream({ pull: () => new Promise(() => {}), cancel: () => void (dropped = true) })));
    await new Promise(setImmediate);
    assert(dropped, "the late answer's body is still held");
  });

  test("no timer is left when all is well", async (t) => {
    const before = timers();
    const p = page(({ url }) => answered("body", { status: url.endsWith("/busy") && p.seen.length < 3 ? 503 : 200 }));
    const b = bench(t, { retry: { attempts: 3, backoff: "1ms" }, hedge: "1s" }, p);
    await b.ok({ url: "https://a.example/busy" });
    const r = await b.ok({ url: "https://a.example/", stream: true });
    for await (const _ of r.stream!);
    await new Promise<void>((resolve) => b.session.startGroup({ mode: "any", count: 0, concurrency: 1, timeoutMs: 5000, requests: [1, 2].map(() => request({ url: "https://a.example/" })) }, () => {}, resolve));
    assert.equal(timers(), before);
  });

  test("records what it can tell", async (t) => {
    const b = bench(t, {}, page(() => answered("body")));
    await b.ok({ url: "https://a.example/" });
    const [x] = b.session.records()[0]!.exchanges;
    assert.deepEqual([x!.protocol, x!.dns_ms, x!.connect_ms, x!.send_ms, x!.received], [undefined, undefined, undefined, undefined, 4]);
    assert(x!.wait_ms! >= 0 && x!.receive_ms! >= 0 && x!.blocked_ms! >= 0);
  });
});
