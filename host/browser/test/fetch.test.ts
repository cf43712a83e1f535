import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { codes, idempotent, retryable } from "../src/fetch/index.js";
import { isExpected, parseExpect } from "../src/fetch/expect.js";
import { requestHeader } from "../src/fetch/header.js";
import { hide } from "../src/fetch/redact.js";
import type { FetchRecord } from "../src/fetch/types.js";
import { isFail } from "../src/policy/failure.js";
import { parseURL } from "../src/policy/url.js";
import { bench, text, Upstream } from "./fetch_bench.js";

const nowhere = "http://127.0.0.1:9/"; // what is refused before it is sent

describe("what is refused before anything is sent", () => {
  for (const [name, code, of] of [
    ["a method that is no token", "invalid_request", { url: nowhere, method: "G T" }],
    ["a method that makes tunnels", "invalid_request", { url: nowhere, method: "connect" }],
    ["a method that has the server send the header back", "invalid_request", { url: nowhere, method: "TRACE" }],
    ["a method that is too long", "invalid_request", { url: nowhere, method: "A".repeat(65) }],
    ["the method before the URL", "invalid_request", { url: "nonsense", method: "G T" }],
    ["a URL with a password", "invalid_url", { url: "http://u:p@127.0.0.1/" }],
    ["a URL with a line's end", "invalid_request", { url: "http://127.0.0.1/\n" }],
    ["another scheme", "unsupported_protocol", { url: "ftp://127.0.0.1/" }],
    ["the URL before what is expected", "invalid_url", { url: "nonsense", expect: "x" }],
    ["what is expected", "invalid_request", { url: nowhere, expect: "6xx" }],
    ["a redirect mode that is none", "invalid_request", { url: nowhere, redirect: "maybe" as "follow" }],
    ["a header's name", "invalid_request", { url: nowhere, headers: [["a b", "c"]] as [string, string][] }],
    ["a header's value with CR and LF", "invalid_request", { url: nowhere, headers: [["a", "b\r\nc: d"]] as [string, string][] }],
    ["a header's value with NUL", "invalid_request", { url: nowhere, headers: [["a", "b\0"]] as [string, string][] }],
    ["too many fields", "invalid_request", { url: nowhere, headers: Array.from({ length: 257 }, (_, i): [string, string] => ["a" + i, ""]) }],
    ["a header that is too long", "invalid_request", { url: nowhere, headers: [["a", "b".repeat(64 << 10)]] as [string, string][] }],
    ["the header before the policy", "invalid_request", { url: "https://127.0.0.1:1/", headers: [["a b", "c"]] as [string, string][] }],
    ["a URL that no rule matches", "host_denied", { url: "https://127.0.0.1:1/" }],
    ["the policy before the body", "host_denied", { url: "https://127.0.0.1:1/", method: "POST", body: new Uint8Array(2 << 20) }],
    ["a body that is too large", "request_too_large", { url: nowhere, method: "POST", body: new Uint8Array((1 << 20) + 1) }],
    ["a stream announced as too large", "request_too_large", { url: nowhere, method: "POST", bodyStream: new ReadableStream<Uint8Array>(), bodyLength: 2 << 20 }],
    ["a body given twice", "invalid_request", { url: nowhere, method: "POST", body: new Uint8Array(1), bodyStream: new ReadableStream<Uint8Array>() }],
    ["a body with GET, which fetch() refuses", "browser_body", { url: nowhere, body: new Uint8Array(1) }],
  ] as const) {
    test(name, async (t) => {
      const b = bench(t);
      const failure = await b.fails(code, of as { url: string });
      assert.deepEqual([failure.attempts, failure.retryable, b.session.usage().requests], [0, false, 0]);
      const [record] = b.session.records();
      assert.deepEqual([record!.code, record!.state, record!.exchanges, record!.states.map((s) => s.state)], [code, "rejected", [], ["pending", "rejected"]]);
    });
  }

  test("before start returns", (t) => {
    const b = bench(t);
    let settled = false;
    const call = b.session.start({ ...({ headers: [], stream: false, timeoutMs: 0, attemptTimeoutMs: 0, hedgeMs: 0, redirect: "follow", expect: "" } as const), method: "", url: "x" }, () => (settled = true));
    assert(settled);
    assert.equal(call.state(), "rejected");
  });

  test("an address is judged where it would be dialled, so the attempt counts", async (t) => {
    const b = bench(t, { allow: ["http://*:*"] });
    for (const url of ["http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/", "http://169.254.169.254/"]) {
      const failure = await b.fails("address_denied", { url });
      assert.deepEqual([failure.attempts, failure.retryable], [1, false]);
    }
    assert.equal(b.session.usage().requests, 4);
    const [record] = b.session.records();
    assert.deepEqual([record!.exchanges[0]!.code, record!.states.map((s) => s.state)], ["address_denied", ["pending", "running", "rejected"]]);
  });

  test("methods of a rule", async (t) => {
    const b = bench(t, { allow: [{ url: "http://127.0.0.1:*", methods: ["GET"], private: true }] });
    assert.match((await b.fails("method_denied", { url: nowhere, method: "post" })).message, /"POST" is not among the methods allowed there \(GET\)/);
  });
});

describe("a request", () => {
  test("goes out as it was given, but for what the host owns", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end());
    const b = bench(t);
    await b.ok({ url: up.url + "/a%2fb|?q'", method: "post", body: new Uint8Array(3), headers: [
      ["X-One", " a "], ["x-two", "ü"], ["Host", "evil"], ["Content-Length", "99"], ["Connection", "close"], ["Sortie-Role", "admin"], ["Proxy-Authorization", "x"], ["TE", "x"],
      ["Cookie", "a=b"], ["Referer", "x"],
    ] });
    const [r] = up.requests;
    assert.deepEqual([r!.method, r!.path], ["POST", "/a%2fb|?q%27"]);
    const { headers } = r!;
    assert.equal(headers["x-one"], "a");
    assert.equal(Buffer.from(headers["x-two"] as string, "latin1").toString(), "ü");
    assert.deepEqual([headers.host, headers["content-length"], headers["user-agent"], headers.accept], [new URL(up.url).host, "3", "sortie", "*/*"]);
    assert.deepEqual([headers["sortie-role"], headers["proxy-authorization"], headers.te, headers.cookie, headers.referer], [undefined, undefined, undefined, "a=b", "x"]);
  });

  test("gives what a guest gave in place of the defaults", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end());
    await bench(t).ok({ url: up.url, headers: [["User-Agent", "mine"], ["accept", "text/html"]] });
    assert.deepEqual([up.requests[0]!.headers["user-agent"], up.requests[0]!.headers.accept], ["mine", "text/html"]);
  });
});

describe("a response", () => {
  test("has its fields in lower case, sorted, without those of the connection", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(201, [["X-B", "ü"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["Keep-Alive", "x"], ["Date", "d"]] as never).end("hi"));
    const r = await bench(t).ok({ url: up.url });
    const fields = r.headers.filter(([name]) => name !== "content-length");
    assert.deepEqual(fields.map(([name]) => name), ["date", "set-cookie", "set-cookie", "x-b"]);
    assert.deepEqual([r.status, text(r.body), r.url, r.redirected, r.attempts], [201, "hi", up.url + "/", false, 1]);
    assert(r.elapsedMs > 0);
  });

  for (const [coding, encode] of [["gzip", gzipSync], ["x-gzip", gzipSync], ["deflate", deflateSync], ["br", brotliCompressSync]] as const) {
    test(`in ${coding} is decoded, and says nothing of it`, async (t) => {
      const body = encode(Buffer.from("decoded ".repeat(100)));
      const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": coding, "content-length": body.length }).end(body));
      const b = bench(t), r = await b.ok({ url: up.url });
      assert.equal(text(r.body), "decoded ".repeat(100));
      assert.deepEqual(r.headers.filter(([name]) => name.startsWith("content-")), []);
      assert.equal(b.session.usage().bytes, 800);
      assert.deepEqual(b.session.unenforced(), ["browser_coding"]);
      assert.equal(b.session.records()[0]!.exchanges[0]!.received, body.length);
    });
  }

  test("in a coding that nobody knows is left as it is", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": "rot13", "content-length": 2 }).end("uv"));
    const r = await bench(t).ok({ url: up.url });
    assert.equal(text(r.body), "uv");
    assert.deepEqual(r.headers.filter(([name]) => name.startsWith("content-")), [["content-encoding", "rot13"], ["content-length", "2"]]);
  });

  test("that isn't in the coding it says is a decode_error", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": "gzip" }).end("plain text"));
    assert.equal((await bench(t).fails("decode_error", { url: up.url })).retryable, false);
  });

  test("to HEAD keeps what it says of the body", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": "gzip", "content-length": 1000 }).end());
    const r = await bench(t).ok({ url: up.url, method: "HEAD" });
    assert.deepEqual(r.headers.filter(([name]) => name.startsWith("content-")), [["content-encoding", "gzip"], ["content-length", "1000"]]);
    assert.equal(r.body.length, 0);
  });

  test("that breaks off is a read_error", async (t) => {
    const up = await Upstream.open(t, (_, res) => {
      res.writeHead(200, { "content-length": 1000 }).write("some");
      setImmediate(() => res.destroy());
    });
    assert.equal((await bench(t).fails("read_error", { url: up.url })).retryable, true);
    assert.equal((await bench(t).fails("read_error", { url: up.url, method: "POST" })).retryable, false);
    assert.equal((await bench(t).fails("read_error", { url: up.url, method: "POST", headers: [["Idempotency-Key", "1"]] })).retryable, true);
  });

  test("that isn't HTTP is a protocol_error", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.socket!.end("NONSENSE\r\n\r\n"));
    await bench(t).fails("protocol_error", { url: up.url });
  });

  test("that switches protocols is a protocol_error", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.socket!.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"));
    await bench(t).fails("protocol_error", { url: up.url });
  });

  test("that nobody gives is a connect_error", async (t) => {
    const up = await Upstream.open(t, () => {}), { url } = up;
    up.server.close();
    await once(up.server, "close");
    const failure = await bench(t).fails("connect_error", { url, method: "POST" });
    assert.deepEqual([failure.retryable, failure.url, failure.attempts], [true, url + "/", 1]);
    assert(!failure.message.includes("127.0.0.1"), failure.message);
  });
});

describe("budgets", () => {
  test("requests are charged in the order of their calls", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end());
    const b = bench(t, { limits: { requests: 3 } });
    const outcomes = await Promise.all([1, 2, 3, 4, 5].map((n) => b.go({ url: `${up.url}/${n}` })));
    assert.deepEqual(outcomes.map((o) => o.state), ["fulfilled", "fulfilled", "fulfilled", "rejected", "rejected"]);
    assert.deepEqual(b.session.usage(), { requests: 3, bytes: 0 });
    const { error } = outcomes[3] as { error: { code: string; message: string; attempts: number } };
    assert.deepEqual([error.code, error.message, error.attempts], ["limit_requests", "requests is 3 and 3 are used up; one more was asked for", 0]);
    assert.equal(up.requests.length, 3);
  });

  test("a response that is too large, announced or not", async (t) => {
    const up = await Upstream.open(t, (req, res) => {
      if (req.url === "/announced") res.writeHead(200, { "content-length": 101 });
      res.write("a".repeat(50));
      res.end("a".repeat(51));
    });
    const b = bench(t, { limits: { response_bytes: 100 } });
    assert.equal((await b.fails("response_too_large", { url: up.url + "/announced" })).message, "response_bytes is 100; the response's body has 101");
    assert.match((await b.fails("response_too_large", { url: up.url })).message, /^response_bytes is 100; the response's body has at least 101$/);
    assert(b.session.usage().bytes <= 100);
  });

  test("all responses together", async (t) => {
    const up = await Upstream.open(t, (_, res) => res.end("a".repeat(60)));
    const b = bench(t, { limits: { total_bytes: 100 } });
    await b.ok({ url: up.url });
    assert.match((await b.fails("limit_bytes", { url: up.url })).message, /^total_bytes is 100; with this response it would be 120 or more$/);
    assert.deepEqual(b.session.usage(), { requests: 2, bytes: 60 });
  });

  test("decoded bytes count", async (t) => {
    const bomb = gzipSync(Buffer.alloc(1 << 20));
    const up = await Upstream.open(t, (_, res) => res.writeHead(200, { "content-encoding": "gzip" }).end(bomb));
    await bench(t, { limits: { response_bytes: 100_000 } }).fails("response_too_large", { url: up.url });
  });
});

test("what is expected", async (t) => {
  const up = await Upstream.open(t, (req, res) => res.writeHead(Number(req.url!.slice(1))).end("body"));
  const b = bench(t);
  for (const [method, expect, status, ok, again] of [
    ["GET", "", 500, true, false], ["GET", "2xx", 200, true, false], ["GET", "2xx,404", 404, true, false], ["GET", "2xx", 404, false, false],
    ["GET", "2xx", 503, false, true], ["POST", "2xx", 503, false, true], ["POST", "2xx", 404, false, false], ["GET", "500-599", 200, false, false],
  ] as const) {
    if (ok) {
      await b.ok({ url: `${up.url}/${status}`, method, expect });
      continue;
    }
    const failure = await b.fails("http_status", { url: `${up.url}/${status}`, method, expect });
    assert.deepEqual([failure.response!.status, text(failure.response!.body), failure.attempts, failure.retryable], [status, "body", 1, again]);
    assert.equal(failure.message, `the status is ${status}; expected was "${expect}"`);
  }
  const last = b.session.records().at(-1)!;
  assert.deepEqual([last.status, last.bytes, last.code], [200, 4, "http_status"]);
});

test("expectations are read", () => {
  for (const [text, want] of [
    ["", [100, 200, 204, 299, 300, 404, 500, 599]], [" ", [100, 200, 204, 299, 300, 404, 500, 599]], ["2xx", [200, 204, 299]], ["2XX", [200, 204, 299]], ["200", [200]],
    ["2xx,404", [200, 204, 299, 404]], [" 2xx , 404 ", [200, 204, 299, 404]], ["200-204", [200, 204]], ["200 - 204,500-599", [200, 204, 500, 599]], ["1xx,599", [100, 599]],
  ] as const) {
    const expect = parseExpect(text);
    assert(!isFail(expect), text);
    assert.deepEqual([100, 200, 204, 299, 300, 404, 500, 599].filter((status) => isExpected(expect, status)), want, text);
  }
  for (const text of [",", "2xx,", "2x", "xx", "6xx", "0xx", "20", "2000", "600", "204-200", "200-", "-200", "2xx-3xx", "a", "２００", "+20"]) {
    const expect = parseExpect(text);
    assert(isFail(expect) && expect.code === "invalid_request", text);
  }
});

test("a record", async (t) => {
  const up = await Upstream.open(t, (req, res) => res.writeHead(200, { "x-echo": req.headers.authorization, "set-cookie": "sid=hunter2" }).end("hello"));
  const b = bench(t);
  await b.ok({ url: up.url + "/a?token=Bearer-12345678#frag", headers: [["Authorization", "Basic Bearer-12345678"], ["X-Api-Key", "k"], ["x-other", "v"]] });
  await b.fails("invalid_url", { url: "http://user:hunter2@x/" });
  const [record, refused] = b.session.records();
  const text = JSON.stringify([record, refused]);
  for (const secret of ["12345678", "hunter2"]) assert(!text.includes(secret), text);
  assert.equal(refused!.url, "http://[redacted]@x/");
  const { exchanges, states, ...rest } = record!;
  assert.deepEqual({ ...rest, start_ms: 0, elapsed_ms: 0 }, {
    method: "GET", url: up.url + "/a?token=[redacted]#frag", state: "fulfilled", status: 200, rule: "http://*:*", attempts: 1, hops: 0, bytes: 5, start_ms: 0, elapsed_ms: 0,
  });
  assert.deepEqual(states.map((s) => s.state), ["pending", "running", "fulfilled"]);
  assert(states.every((s, i) => i === 0 || s.at_ms >= states[i - 1]!.at_ms));
  const [x] = exchanges;
  assert.deepEqual([x!.method, x!.attempt, x!.hop, x!.status, x!.protocol, x!.sent, x!.received, x!.decoded], ["GET", 1, 0, 200, "HTTP/1.1", 0, 5, 5]);
  assert.deepEqual(x!.request_headers!.filter(([name]) => /^(auth|x-)/.test(name)), [["authorization", "[redacted]"], ["x-api-key", "[redacted]"], ["x-other", "v"]]);
  assert.deepEqual(x!.response_headers!.filter(([name]) => /^(set|x-)/.test(name)), [["set-cookie", "[redacted]"], ["x-echo", "Basic [redacted]"]]);
  assert(Math.abs(x!.blocked_ms! + x!.wait_ms! + x!.receive_ms! - x!.elapsed_ms) < 0.01);
  assert(!x!.url.includes("#"));
});

test("what can't be held to is told", async (t) => {
  assert.deepEqual(bench(t, { cache: { bytes: "1MiB" } }).session.unenforced(), ["browser_cache"]);
  const up = await Upstream.open(t, (_, res) => res.end());
  const b = bench(t);
  await b.ok({ url: up.url });
  await b.ok({ url: up.url.replace("127.0.0.1", "localhost") });
  assert.deepEqual(b.session.unenforced(), []);
  await b.go({ url: "http://name.invalid/" });
  assert.deepEqual(b.session.unenforced(), ["browser_address"]);
});

test("secrets are the operator's, and nobody's here", async (t) => {
  const up = await Upstream.open(t, (_, res) => res.end());
  const secret = { name: "K", header: "Authorization", format: "Bearer {secret}" };
  const narrow = bench(t, {}, undefined, { secrets: [{ ...secret, allow: [up.url + "/private/"] }] });
  await narrow.ok({ url: up.url + "/public" });
  assert.equal((await narrow.fails("browser_secret", { url: up.url + "/private/x" })).retryable, false);
  await bench(t, {}, undefined, { secrets: [secret] }).fails("browser_secret", { url: up.url });
  assert.equal(up.requests.length, 1);
});

test("codes", () => {
  assert.equal(new Set(codes).size, codes.length);
  for (const code of ["dns_error", "connect_error", "connect_timeout", "proxy_error", "pool_timeout"]) assert(retryable(code, "POST"), code);
  for (const code of ["read_timeout", "read_error", "write_timeout", "write_error", "protocol_error", "browser_network"]) {
    assert.deepEqual([retryable(code, "GET"), retryable(code, "POST"), retryable(code, "get")], [true, false, false], code);
  }
  for (const code of ["timeout", "cancelled", "tls_error", "decode_error", "http_status", "browser_header", "nonsense"]) assert(!retryable(code, "GET"), code);
  assert(idempotent("PUT") && !idempotent("PATCH"));
});

test("what a guest or an upstream sends takes no time by its square", () => {
  const blanks = "a" + " ".repeat(4 << 20) + "b", from = performance.now();
  assert.ok(isFail(requestHeader([["x", blanks]], [])));
  assert.ok(isFail(parseExpect(blanks)));
  for (let i = 0; i < 100; i++) assert.ok(isFail(parseURL("http://a.test/" + " ".repeat(8000) + "b")));
  const parts = Array.from({ length: 7000 }, (_, i) => "a" + String(i).padStart(8, "0"));
  const record = { url: "", exchanges: Array.from({ length: 20 }, () => ({ url: "", response_headers: [["x", "a".repeat(1 << 16)]] })) } as unknown as FetchRecord;
  hide(record, parts);
  assert.deepEqual(record.exchanges[0]!.response_headers, [["x", "[redacted]"]]);
  const took = performance.now() - from;
  assert.ok(took < 1000, `${took} ms`);
});
