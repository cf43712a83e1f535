import assert from "node:assert/strict";
import { test } from "node:test";
import { toHAR, type HARSource } from "../src/har.js";
import { bench, Upstream } from "./fetch_bench.js";

interface Entry {
  startedDateTime: string;
  time: number;
  request: { method: string; url: string; queryString: { name: string; value: string }[]; headers: { name: string; value: string }[] };
  response: { status: number; redirectURL: string; content: { size: number; mimeType: string } };
  timings: Record<string, number>;
  [own: `_${string}`]: unknown;
}

const entriesOf = (report: HARSource) => (toHAR(report, "v1") as { log: { entries: Entry[] } }).log.entries;

test("what a real session did, in order, with nothing left out and nothing told that is secret", async (t) => {
  const up: Upstream = await Upstream.open(t, (req, res) => {
    if (req.url === "/start") res.writeHead(302, { location: "/end?q=a%20b&key=" + req.headers["x-api-key"], "set-cookie": "sid=COOKIE" }).end();
    else res.writeHead(up.requests.length === 2 ? 503 : 200, { "content-type": "text/plain" }).end("hello");
  });
  const b = bench(t, { allow: [{ url: up.url, private: true }], retry: { attempts: 2, backoff: "1ms" } });
  await b.ok({ url: up.url + "/start", headers: [["Authorization", "Bearer TOKEN-OF-MINE"], ["X-Api-Key", "SECRET-OF-MINE"]] });
  await b.go({ url: "https://denied.example/?a=1" });
  const report: HARSource = { id: "inv", started: "2026-01-02T03:04:05.678Z", queue_ms: 10, total_ms: 100, fetches: b.session.records() };
  const entries = entriesOf(report);
  assert.deepEqual(entries.map((e) => [e.request.url.replace(up.url, ""), e.response.status, e._code, e._fetch, e._attempt, e._hop]), [
    ["/start", 302, undefined, 1, 1, 0], ["/end?q=a%20b&key=[redacted]", 503, undefined, 1, 1, 1], ["/end?q=a%20b&key=[redacted]", 200, undefined, 1, 2, 1],
    ["https://denied.example/?a=1", 0, "host_denied", 2, 0, 0],
  ]);
  const text = JSON.stringify(toHAR(report));
  for (const hidden of ["OF-MINE", "COOKIE"]) assert(!text.includes(hidden), hidden);
  assert.deepEqual(entries[1]!.request.queryString, [{ name: "q", value: "a b" }, { name: "key", value: "[redacted]" }]);
  assert.deepEqual([entries[0]!.response.redirectURL, entries[2]!.response.content], ["/end?q=a%20b&key=[redacted]", { size: 5, mimeType: "text/plain" }]);
  for (const e of entries) {
    assert(Date.parse(e.startedDateTime) >= Date.parse("2026-01-02T03:04:05.688Z"));
    const { ssl: _, ...timings } = e.timings;
    assert(Math.abs(Object.values(timings).reduce((sum, ms) => sum + Math.max(ms, 0), 0) - e.time) < 1e-6);
  }
});

test("an archive has what HAR 1.2 wants", () => {
  const report: HARSource = {
    id: "inv", started: "2026-01-02T03:04:05Z", total_ms: 5,
    fetches: [{
      method: "GET", url: "http://a/?b=%zz&&c", state: "fulfilled", attempts: 1, hops: 0, bytes: 3, start_ms: 1, elapsed_ms: 2, states: [],
      exchanges: [{
        method: "GET", url: "http://a/?b=%zz&&c#d", attempt: 1, hop: 0, status: 200, protocol: "HTTP/1.1", reused: true, start_ms: 1, elapsed_ms: 2, blocked_ms: 0.5, dns_ms: 1,
        connect_ms: 2, tls_ms: 3, send_ms: 4, wait_ms: 5, receive_ms: 6, sent: 1, received: 2, decoded: 3, response_headers: [["Authorization", "hunter2"], ["content-type", "a/b"]],
      }],
    }],
  };
  assert.deepEqual(toHAR(report, "v1"), {
    log: {
      version: "1.2", creator: { name: "Sortie", version: "v1" },
      pages: [{ startedDateTime: "2026-01-02T03:04:05.000Z", id: "invocation", title: "inv", pageTimings: { onContentLoad: -1, onLoad: 5 } }],
      entries: [{
        pageref: "invocation", startedDateTime: "2026-01-02T03:04:05.001Z", time: 21.5,
        request: {
          method: "GET", url: "http://a/?b=%zz&&c#d", httpVersion: "HTTP/1.1", cookies: [], headers: [], queryString: [{ name: "b", value: "%zz" }, { name: "c", value: "" }],
          headersSize: -1, bodySize: -1, _bytes: 1,
        },
        response: {
          status: 200, statusText: "", httpVersion: "HTTP/1.1", cookies: [], headers: [{ name: "Authorization", value: "[redacted]" }, { name: "content-type", value: "a/b" }],
          content: { size: 3, mimeType: "a/b" }, redirectURL: "", headersSize: -1, bodySize: -1, _bytes: 2,
        },
        cache: {},
        timings: { blocked: 0.5, dns: 1, connect: 5, ssl: 3, send: 4, wait: 5, receive: 6 },
        _fetch: 1, _attempt: 1, _hop: 0, _hedge: false, _reused: true, _state: "fulfilled",
      }],
    },
  });
});
