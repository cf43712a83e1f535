import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parse as parseYAML } from "../node_modules/yaml/browser/index.js";
import {
  defaultManifest, effective, formatBytes, formatDuration, ManifestError, manifestFrom, Operator, parseBytes, parseDuration, parseManifest, type Clamp,
} from "../src/manifest/index.js";
import { nearest } from "../src/manifest/nearest.js";
import { corsErrors, manifestErrors, smokeErrors } from "./manifest_vectors.js";

const read = (text: string, operator = "") => parseManifest(parseYAML(text) ?? {}, new Operator(parseYAML(operator) ?? {}));

describe("manifests", () => {
  test("the contract's example has the defaults for its limits", () => {
    const { manifest, clamped } = read(`
      name: prices
      wasm: plugin.wasm
      entry: handle
      access: token
      fetch:
        allow: ["https://api.example.com", "https://*.example.org:8443/v1/", {url: "http://127.0.0.1:9000", methods: [GET, HEAD], private: true}]
        limits: {requests: 64, concurrency: 16, timeout: 10s, connect_timeout: 3s, write_timeout: 10s, read_timeout: 10s, pool_timeout: 5s, attempt_timeout: 0s,
          request_bytes: 1MiB, response_bytes: 8MiB, total_bytes: 32MiB, redirects: 10}
        retry: {attempts: 1, backoff: 100ms, max_backoff: 2s, statuses: [408, 425, 429, 500, 502, 503, 504]}
      limits: {wall: 30s, stream: 5m, cpu: 1s, memory: 128MiB, input: 1MiB, output: 16MiB, log: 64KiB}
      isolation: fresh
      config: {region: eu}
      warmup: {method: GET, path: /, body: ""}
      secrets: [{name: API_KEY, header: Authorization, format: "Bearer {secret}", allow: ["https://api.example.com"]}]`);
    const want = defaultManifest();
    want.name = "prices";
    want.fetch.allow = [
      { url: "https://api.example.com", methods: [], private: false }, { url: "https://*.example.org:8443/v1/", methods: [], private: false },
      { url: "http://127.0.0.1:9000", methods: ["GET", "HEAD"], private: true },
    ];
    want.config = { region: "eu" };
    want.warmup = { method: "GET", path: "/", body: "" };
    want.secrets = [{ name: "API_KEY", header: "Authorization", format: "Bearer {secret}", allow: ["https://api.example.com"] }];
    assert.deepEqual(manifest, want);
    assert.deepEqual(clamped, []);
    assert.deepEqual(parseManifest(effective(manifest)).manifest, manifest);
  });

  test("what is empty is the default", () => {
    for (const text of ["", "{}", "fetch:\nlimits:\nconfig:\nwarmup:\nsecrets:\n", "fetch:\n  allow:\n  limits: {}\n  retry:\nconfig: {}\nsecrets: []\n"]) {
      assert.deepEqual(read(text).manifest, defaultManifest(), text);
    }
  });

  test("what can be written in more than one way means the same", () => {
    const one = read("name: a\nfetch:\n  allow:\n  - url: HTTPS://A.test:443/\n    methods: [post, get, GET]\n    private: false\n" +
      "  limits:\n    timeout: 60s\n    request_bytes: 2048\n    attempt_timeout: 0\n  retry: {statuses: [503, 502, 503]}\n" +
      "limits: {memory: 1GiB, log: 1 KiB}\nwasm: ./x//p.wasm\nwarmup: {}\nsecrets: [{name: K, header: X-Key}]\n").manifest;
    const two = parseManifest(`{"name": "a", "fetch": {"allow": [{"url": "https://a.test", "methods": ["GET", "POST"]}],
      "limits": {"timeout": "1m", "request_bytes": "2KiB", "attempt_timeout": "0s"}, "retry": {"statuses": [502, 503]}},
      "limits": {"memory": 1073741824, "log": "1024B"}, "wasm": "x/p.wasm", "warmup": {"method": "get"},
      "secrets": [{"name": "K", "header": "X-Key", "format": "{secret}"}]}`).manifest;
    assert.deepEqual(one, two);
    assert.deepEqual(parseManifest(effective(one)).manifest, one);
  });

  test("no statuses is a choice", () => {
    assert.deepEqual(read("fetch: {retry: {attempts: 3, statuses: []}}").manifest.fetch.retry.statuses, []);
  });

  for (const [text, error] of [...manifestErrors, ...corsErrors, ...smokeErrors]) {
    test(`${JSON.stringify(text)} is wrong as on the server`, () => {
      assert.throws(() => read(text), (err: unknown) => {
        assert(err instanceof ManifestError);
        assert.equal(err.code, "invalid_manifest");
        assert.equal(err.message.split("\n").sort().join("\n"), error.split("\n").sort().join("\n"));
        return true;
      });
    });
  }

  test("text is JSON", () => {
    assert.throws(() => parseManifest("name: a"), /not valid JSON/);
    assert.throws(() => parseManifest(JSON.stringify({ config: { x: "a".repeat(300_000) } })), /262144 is the most/);
    assert.throws(() => parseManifest(`{"__proto__": {"name": "x"}}`), /__proto__: unknown key/);
    const { manifest } = parseManifest(`{"config": {"__proto__": {"a": 1}}}`);
    assert.deepEqual(Object.keys(manifest.config), ["__proto__"]);
  });

  test("text is YAML where its reader is there", async () => {
    assert.deepEqual(await manifestFrom(`{"name": "a"}`), { name: "a" });
    try {
      assert.deepEqual(await manifestFrom("name: a\n"), { name: "a" });
    } catch (err) {
      assert.match((err as Error).message, /package `yaml` has to be installed/);
    }
  });

  test("a value nested too deep is wrong", () => {
    let config: object = {};
    for (let i = 0; i < 40; i++) config = { a: config };
    assert.throws(() => parseManifest({ config }), /more than 32 mappings and lists/);
    const endless: Record<string, unknown> = {};
    endless.a = endless;
    assert.throws(() => parseManifest({ config: endless }), /more than 32 mappings and lists/);
  });

  test("values that JSON lacks are wrong", () => {
    assert.throws(() => parseManifest({ config: { f: () => 1 } }), /config\.f: not a value that JSON has/);
    assert.throws(() => parseManifest({ fetch: { limits: { requests: NaN } } }), /whole number is needed/);
  });
});

describe("ceilings", () => {
  for (const [name, operator, manifest, want] of [
    ["the defaults are below them", "", "name: a", []],
    ["what is listed", "ceilings: {fetch: {limits: {requests: 1000, timeout: 60s}}, limits: {memory: 256MiB}}",
      "name: a\nfetch: {limits: {requests: 5000, timeout: 1m}}\nlimits: {memory: 1GiB}", [["fetch.limits.requests", "5000", "1000"], ["limits.memory", "1GiB", "256MiB"]]],
    ["sixteen times the default, where nothing is listed", "",
      "name: a\nfetch: {limits: {requests: 1025, redirects: 160, response_bytes: 1GiB}, retry: {attempts: 17, backoff: 2s}}\nlimits: {wall: 480s, cpu: 17s}",
      [["fetch.limits.requests", "1025", "1024"], ["fetch.limits.response_bytes", "1GiB", "128MiB"], ["fetch.retry.attempts", "17", "16"],
        ["fetch.retry.backoff", "2s", "1.6s"], ["limits.cpu", "17s", "16s"]]],
    ["no limit by default has none", "", "name: a\nfetch: {limits: {attempt_timeout: 100h}}", []],
    ["no limit passes one", "ceilings: {fetch: {limits: {attempt_timeout: 5s}}}", "name: a\nfetch: {limits: {attempt_timeout: 0s}}", [["fetch.limits.attempt_timeout", "0s", "5s"]]],
    ["one of no limit is none", "ceilings: {fetch: {limits: {attempt_timeout: 0}}}", "name: a\nfetch: {limits: {attempt_timeout: 5s}}", []],
    ["one of zero is one", "ceilings: {fetch: {limits: {redirects: 0}}}", "name: a\nfetch: {limits: {redirects: 3}}", [["fetch.limits.redirects", "3", "0"]]],
    ["a default above one was not asked for", "ceilings: {limits: {wall: 5s}}", "name: a", []],
    ["an operator's higher default is meant", "defaults: {limits: {wall: 1000s}}", "name: a\nlimits: {wall: 900s}", []],
    ["a cache, off by default, has one of its own", "", "name: a\nfetch: {cache: {bytes: 65MiB}}", [["fetch.cache.bytes", "65MiB", "64MiB"]]],
    ["a higher one of a cache", "ceilings: {fetch: {cache: {bytes: 1GiB}}}", "name: a\nfetch: {cache: {bytes: 1GiB}}", []],
  ] as [string, string, string, [string, string, string][]][]) {
    test(name, () => {
      const result = read(manifest, operator);
      assert.deepEqual(result.clamped, want.map(([key, asked, got]): Clamp => ({ key, asked, got })));
      assert.deepEqual(parseManifest(effective(result.manifest), parseYAML(operator) ?? {}).clamped, [], "clamped a second time");
    });
  }

  test("defaults above them are lowered, and stay the operator's", () => {
    const operator = new Operator({ ceilings: { limits: { wall: "5s", memory: "64MiB" } } });
    const { limits } = parseManifest({}, operator).manifest;
    assert.deepEqual([limits.wall, limits.memory, operator.defaults.limits.wall], [5000, 64 << 20, 30_000]);
  });
});

describe("an operator's configuration", () => {
  test("is put in canonical form", () => {
    const o = new Operator({ private: ["10.1.2.3/8", "::1", "HTTP://127.1:*"], hosts: { deny: ["BÜCHER.example", "*.x.example", "8.8.8.8", "[::1]"] } });
    assert.deepEqual(o.private, ["10.0.0.0/8", "::1/128", "http://127.0.0.1:*"]);
    assert.deepEqual(o.hosts, { allow: ["*"], deny: ["xn--bcher-kva.example", "*.x.example", "8.8.8.8/32", "::1/128"] });
  });

  for (const [input, error] of [
    [{ privat: [] }, `operator: privat: unknown key; did you mean "private"?`],
    [{ private: ["x"] }, `operator: private[0]: "x" is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8`],
    [{ private: ["http://x/a"] }, `operator: private[0]: "http://x/a" has a path; it is an origin or a CIDR`],
    [{ hosts: { allow: [] } }, `operator: hosts.allow: an empty list allows no host at all; if that is meant, deny ["*"]`],
    [{ hosts: { deny: ["https://x"] } }, `operator: hosts.deny[0]: "https://x" is not a host; write api.example.com, *.example.com, * or a CIDR`],
    [{ ceilings: { limits: { memory: "1B" } } }, "operator: ceilings.limits.memory: 1B; it is 64KiB at least"],
    [{ ceilings: { fetch: { retry: { statuses: [] } } } }, "operator: ceilings.fetch.retry.statuses: unknown key; the keys here are attempts, backoff, max_backoff"],
    [{ defaults: { name: "a" } }, "operator: defaults.name: a name is no default; each plugin has its own"],
    [{ defaults: { limits: { wall: "0s" } } }, "operator: defaults.limits.wall: 0s; it is 1ms at least"],
    [{ process: { fetches: 0 } }, "operator: process.fetches: 0; it is 1 to 2147483647"],
  ] as [object, string][]) {
    test(`${JSON.stringify(input)} is wrong`, () => assert.throws(() => new Operator(input), { message: error }));
  }
});

describe("units", () => {
  test("durations", () => {
    for (const [text, ms, shown = text] of [
      ["10s", 10_000], ["0", 0, "0s"], ["0s", 0], ["100ms", 100], ["60s", 60_000, "1m"], ["5m", 300_000], ["90s", 90_000, "1m30s"], ["1h", 36e5],
      ["1h0m5s", 3_605_000], ["10h10m", 36_600_000], ["1.5s", 1500], ["2us", 0.002, "2µs"], ["100ms", 100],
    ] as [string, number, string?][]) {
      assert.equal(parseDuration(text), ms, text);
      assert.equal(formatDuration(ms), shown, text);
    }
    for (const text of ["", "10", "1.5", "-1s", "1d", "s", "NaN", "10 s", "9999999h"]) assert.throws(() => parseDuration(text), undefined, text);
  });

  test("sizes", () => {
    for (const [text, bytes, shown] of [
      ["0", 0, "0B"], ["1500", 1500, "1500B"], ["1MiB", 1 << 20, "1MiB"], ["1mib", 1 << 20, "1MiB"], ["64KiB", 64 << 10, "64KiB"], ["1 GiB", 1 << 30, "1GiB"],
      ["1.5KiB", 1536, "1536B"], ["1Mi", 1 << 20, "1MiB"], ["8MB", 8e6, "8MB"], ["64kB", 64e3, "64kB"], ["2M", 2e6, "2MB"], ["1048576", 1 << 20, "1MiB"],
      ["10B", 10, "10B"], ["1PiB", 2 ** 50, "1PiB"],
    ] as [string, number, string][]) {
      assert.equal(parseBytes(text), bytes, text);
      assert.equal(formatBytes(bytes), shown, text);
    }
    for (const text of ["", "-1", "-1MiB", "1XiB", "MiB", "1 2", "0x10", "1e3", "NaN", "Inf", "9223372036854775808", "99999PiB", "1MiBs", ".5MiB"]) {
      assert.throws(() => parseBytes(text), undefined, text);
    }
  });
});

test("the nearest key", () => {
  const keys = ["requests", "concurrency", "timeout", "connect_timeout", "read_timeout", "url"];
  for (const [word, want] of [
    ["requsts", "requests"], ["reqeusts", "requests"], ["Requests", "requests"], ["timeuot", "timeout"], ["connecttimeout", "connect_timeout"],
    ["connectTimeout", "connect_timeout"], ["conect-timeout", "connect_timeout"], ["read_timout", "read_timeout"], ["ulr", "url"], ["uri", "url"], ["xyz", ""],
    ["", ""], ["bananas", ""], ["requests".repeat(1000), ""],
  ] as const) assert.equal(nearest(word, keys), want, word);
});
