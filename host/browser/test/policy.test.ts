import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { disguise } from "../src/manifest/disguise.js";
import { parseManifest, type OperatorInput } from "../src/manifest/index.js";
import { formatPattern, parsePattern } from "../src/manifest/pattern.js";
import { formatAddr, parseAddr } from "../src/policy/addr.js";
import { isFail } from "../src/policy/failure.js";
import { HostSet, PrivateSet } from "../src/policy/hosts.js";
import { Policy } from "../src/policy/index.js";
import { compilePatterns } from "../src/policy/patterns.js";
import { embedded, special } from "../src/policy/special.js";
import { parseURL, type ParsedURL } from "../src/policy/url.js";
import {
  badPatterns, disguises, goodPatterns, matching, parsed, privates, publics, refused, resolved, specials, unresolved,
} from "./policy_vectors.js";

type Rules = (string | { url: string; methods?: string[]; private?: boolean })[];

/** A policy of rules as they stand: methods aren't put in upper case, as a manifest's are. */
function policy(rules: Rules, operator?: OperatorInput): Policy {
  const { manifest } = parseManifest({});
  manifest.fetch.allow = rules.map((rule) => ({ methods: [], private: false, ...(typeof rule === "string" ? { url: rule } : rule) }));
  return new Policy(manifest, operator);
}

function parse(raw: string, base?: ParsedURL): ParsedURL {
  const u = parseURL(raw, base);
  assert(!isFail(u), `${raw}: ${JSON.stringify(u)}`);
  return u;
}

describe("URLs", () => {
  test("are parsed as the server parses them", () => {
    for (const [raw, text] of parsed) assert.equal(parse(raw).text, text, raw);
  });

  test("are refused as the server refuses them", () => {
    // IDNA is the platform's, which may be of a newer Unicode than the server's or look at less, and take these.
    const newer = new Set(["http://\u2260/", "http://a\u226eb.example/", "http://xn--1ch/", "http://1\u2135/", "http://xn--1-0hc/", "http://a_b\u0130/"]);
    for (const [code, raws] of refused) {
      for (const raw of raws) {
        if (newer.has(raw)) continue;
        const u = parseURL(raw);
        assert(isFail(u), `${JSON.stringify(raw.slice(0, 100))} became ${JSON.stringify(u)}`);
        assert.equal(u.code, code, JSON.stringify(raw.slice(0, 100)));
        assert(u.message.length > 0 && u.message.length < 1000);
      }
    }
  });

  test("that are relative", () => {
    const base = parse("https://x.example/a/b?q#frag"), plain = parse("https://x.example/a/b");
    for (const [ref, text] of resolved) assert.equal(parse(ref, base).text, text, ref);
    for (const [ref, code] of unresolved) {
      const u = parseURL(ref, plain);
      assert(isFail(u), ref.slice(0, 100));
      assert.equal(u.code, code, ref.slice(0, 100));
    }
    assert.deepEqual(["/b", "/b#other", "/b#"].map((ref) => parse(ref, base).fragment), ["frag", "other", ""]);
  });

  test("have exact bounds", () => {
    for (const raw of ["http://x/" + "a/".repeat(511), "http://x/" + "a".repeat(8192 - 9), "http://x/?" + "/".repeat(513)]) assert.equal(parse(raw).text, raw);
    assert(isFail(parseURL("b/c", parse("http://x/" + "a/".repeat(511)))));
  });

  test("never show a password in a message", () => {
    for (const raw of ["http://user:hunter2@x/", "http://user:hunter2@x/\t", "http://user:hunter2@[/", "user:hunter2@x"]) {
      const u = parseURL(raw);
      assert(isFail(u) && !u.message.includes("hunter2"), raw);
    }
  });

  test("have parts", () => {
    const u = parse("https://[::1]:8443/a//b?c=d&e#frag%20x");
    assert.deepEqual([u.scheme, u.host, u.port, u.origin, u.path, u.fragment, u.text], [
      "https", "::1", "8443", "https://[::1]:8443", "/a//b", "frag%20x", "https://[::1]:8443/a//b?c=d&e"]);
    assert.equal(formatAddr(u.addr!), "::1");
    assert.equal(parse("http://example.com/").port, "80");
    assert.equal(parse("http://example.com/").addr, undefined);
  });
});

describe("patterns", () => {
  test("are read and written", () => {
    for (const [text, canonical] of goodPatterns) {
      assert.equal(formatPattern(parsePattern(text)), canonical, text);
      assert.deepEqual(parsePattern(canonical), parsePattern(text), text);
    }
  });

  test("that match nothing are refused", () => {
    for (const [text, about] of badPatterns) {
      if (text === "https://~İ") continue; // in the platform's newer Unicode it is a name
      assert.throws(() => parsePattern(text), (err: Error) => err.message.includes(about), `${text}: want something about ${about}`);
    }
  });

  test("as a set", () => {
    const covers = compilePatterns(["https://*.example.com/v1/"]);
    for (const [raw, want] of [
      ["https://a.example.com/v1/x", true], ["https://example.com/v1/x", false], ["http://a.example.com/v1/x", false],
      ["https://a.example.com:444/v1/x", false], ["https://a.example.com/v1/..%2fx", false], ["https://a.example.com.evil.org/v1/", false],
    ] as const) assert.equal(covers(parse(raw)), want, raw);
  });
});

describe("rules", () => {
  for (const { rule, yes, no } of matching) {
    test(`${rule} matches what it should`, () => {
      const p = policy([rule]);
      for (const raw of yes) {
        const d = p.check(raw);
        assert(d.code === undefined || d.code === "address_denied", `${raw}: ${d.reason}`);
        assert.equal(d.rule, rule, raw);
        assert.equal(d.number, 1);
        assert.match(d.reason, /rule 1 /);
      }
      for (const raw of no) {
        const d = p.check(raw);
        assert(!d.allowed && (d.code === "host_denied" || d.code === "invalid_url"), `${raw}: ${JSON.stringify(d)}`);
        assert(d.rule === undefined && d.number === undefined && !d.private && d.reason !== "", raw);
      }
    });
  }

  test("the first that matches decides", () => {
    const p = policy([
      { url: "https://api.example.com/admin/", methods: ["GET"] }, { url: "https://api.example.com/admin/keys", methods: ["POST"], private: true },
      { url: "https://*.example.com", methods: ["GET", "DELETE"] }, { url: "https://*.example.com", private: true },
      { url: "https://other.example", methods: ["GET"] },
    ]);
    for (const [method, url, code, number, isPrivate] of [
      ["GET", "https://api.example.com/admin/keys", undefined, 1, false], ["POST", "https://api.example.com/admin/keys", undefined, 2, true],
      ["DELETE", "https://api.example.com/admin/keys", undefined, 3, false], ["PUT", "https://api.example.com/admin/keys", undefined, 4, true],
      ["GET", "https://api.example.com/", undefined, 3, false], ["POST", "https://api.example.com/", undefined, 4, true],
      ["", "https://other.example/", undefined, 5, false], ["POST", "https://other.example/", "method_denied", 5, false],
      ["get", "https://other.example/", "method_denied", 5, false], ["GET", "https://example.com/", "host_denied", undefined, false],
    ] as const) {
      const d = p.decide(method, parse(url));
      assert.deepEqual([d.allowed, d.code, d.number, d.private], [code === undefined, code, number, isPrivate], `${method} ${url}`);
    }
  });

  test("without any, nothing is allowed", () => {
    const d = policy([]).check("https://x/");
    assert.equal(d.code, "host_denied");
    assert.match(d.reason, /empty/);
  });

  test("that were near are named", () => {
    const p = policy([{ url: "https://api.example.com/v1/", methods: ["GET", "HEAD"] }, "https://*.example.org", "http://old.example:8080"]);
    for (const [method, url, ...want] of [
      ["GET", "https://api.example.com/v1/a", `rule 1 "https://api.example.com/v1/"`, "allows"],
      ["POST", "https://api.example.com/v1/a", `rule 1 "https://api.example.com/v1/"`, `"POST"`, "GET, HEAD"],
      ["GET", "https://api.example.com/v2/a", "rule 1", `"/v1/"`, `"https://api.example.com"`, "fetch.allow"],
      ["GET", "https://api.example.com/v1/%2e%2e%2fa", "rule 1", "encoded"],
      ["GET", "http://api.example.com/v1/", "rule 1", "is for https"],
      ["GET", "https://api.example.com:444/v1/", "rule 1", "port 443"],
      ["GET", "https://example.org/", "rule 2", "subdomains"],
      ["GET", "https://api.example.com./v1/", "rule 1", "dot at the end"],
      ["GET", "https://old.example:8080/", "rule 3", "is for http"],
      ["GET", "https://new.example/", "no rule", `add "https://new.example" to fetch.allow`],
      ["GET", "ftp://new.example/", "ftp", "http or https"],
      ["GET", "https://x/" + "a".repeat(1000), "no rule", "…"],
    ] as const) {
      const { reason } = p.check(url, method);
      for (const part of want) assert(reason.includes(part), `${method} ${url}: ${reason} lacks ${part}`);
      assert(reason.length < 600 && !/[\r\n]/.test(reason));
    }
  });

  test("paths in disguise satisfy none that has a path", () => {
    const narrow = policy(["http://x.example/v1"]), wide = policy(["http://x.example"]);
    for (const [hidden, paths] of disguises) {
      for (const path of paths) {
        assert.equal(disguise(path), hidden, path);
        const u = parse("http://x.example/v1" + path);
        if (u.path !== "/v1" + path) continue; // resolved while parsing
        const d = narrow.decide("GET", u);
        assert.equal(d.allowed, hidden === "", path);
        if (hidden !== "") assert(d.code === "host_denied" && d.reason.includes(`a URL with ${hidden} never`), path);
        assert(wide.decide("GET", u).allowed, path);
      }
    }
  });
});

describe("an operator's hosts", () => {
  const everywhere = ["https://*", "http://*", "https://*:8443"];
  for (const { allow = ["*"], deny = [], yes = [], no = [] } of [
    { deny: ["evil.example"], yes: ["https://x/", "https://a.evil.example/", "https://evil.example.com/"],
      no: ["https://evil.example/", "http://EVIL.example/", "https://evil.example:8443/", "https://evil.example./", "https://ev%69l.example/"] },
    { deny: ["*.evil.example"], yes: ["https://evil.example/", "https://aevil.example/"],
      no: ["https://a.evil.example/", "https://a.b.evil.example/", "https://a.evil.example./"] },
    { deny: ["*"], no: ["https://x/", "https://1.1.1.1/", "https://[2606:4700::1]/", "https://x./"] },
    { deny: ["MÜNCHEN.example"], no: ["https://münchen.example/", "https://xn--mnchen-3ya.example/"] },
    { deny: ["8.8.0.0/16", "2606:4700::/32"], yes: ["https://8.9.0.1/", "https://dns.example/"],
      no: ["https://8.8.8.8/", "https://0x8080808/", "https://134744072/", "https://[2606:4700::1]/", "https://[::ffff:8.8.8.8]/", "https://[64:ff9b::8.8.8.8]/", "https://[2002:808:808::]/"] },
    { deny: ["8.8.8.8"], yes: ["https://8.8.8.9/"], no: ["https://8.8.8.8/"] },
    { allow: ["*"], yes: ["https://x/", "https://8.8.8.8/", "https://x./"] },
    { allow: ["example.com", "*.example.com", "8.8.8.0/24"], yes: ["https://example.com/", "https://a.example.com/", "https://8.8.8.8/"],
      no: ["https://example.org/", "https://example.com./", "https://a.example.com./", "https://8.8.9.8/", "https://x/"] },
    { allow: ["*.example.com"], deny: ["a.example.com"], yes: ["https://b.example.com/", "https://a.a.example.com/"], no: ["https://a.example.com/"] },
  ] as { allow?: string[]; deny?: string[]; yes?: string[]; no?: string[] }[]) {
    test(`allow ${allow}, deny ${deny}`, () => {
      const p = policy(everywhere, { hosts: { allow, deny } });
      for (const raw of yes) assert(p.decide("GET", parse(raw)).allowed, raw);
      for (const raw of no) {
        const d = p.decide("GET", parse(raw));
        assert.equal(d.code, "host_denied", raw);
        assert.match(d.reason, /operator/);
      }
    });
  }

  test("that can't be read are refused", () => {
    for (const text of ["https://x", "x:80", "", "*.", "a.*.example", "0x7f.1", "10.0.0.0/33"]) assert.throws(() => new HostSet([text]), undefined, text);
    for (const text of ["x", "10.0.0.0/64", "fe80::1%eth0"]) assert.throws(() => new PrivateSet([text]), undefined, text);
  });
});

describe("addresses", () => {
  test("that are special", () => {
    for (const [text, kind] of specials) assert(special(parseAddr(text)!).includes(kind), `${text}: ${special(parseAddr(text)!)}, want ${kind}`);
    for (const text of publics) assert.equal(special(parseAddr(text)!), "", text);
  });

  test("that carry others", () => {
    for (const [text, inner] of [
      ["::ffff:1.2.3.4", "1.2.3.4"], ["::1.2.3.4", "1.2.3.4"], ["64:ff9b::1.2.3.4", "1.2.3.4"], ["64:ff9b:1::1.2.3.4", "1.2.3.4"], ["2002:102:304::5", "1.2.3.4"],
      ["2001:0:9:9:9:9:fefd:fcfb", "1.2.3.4"], ["fe80::5efe:102:304", "1.2.3.4"], ["::ffff:0:1.2.3.4", "1.2.3.4"], ["::", ""], ["::1", ""], ["1.2.3.4", ""],
      ["2606:4700::1", ""], ["2001:1::1", ""], ["2003::1", ""],
    ] as const) assert.equal(embedded(parseAddr(text)!)[0]?.join(".") ?? "", inner, text);
  });

  test("that are private need the rule and the operator", () => {
    for (const [operator, url, ok] of privates) {
      for (const isPrivate of [true, false]) {
        const p = policy([{ url: "http://*:*", private: isPrivate }, { url: "https://*:*", private: isPrivate }], { private: operator });
        const d = p.check(url);
        const ordinary = special(parse(url).addr ?? [127, 0, 0, 1]) === "";
        assert.equal(d.allowed, ok && (isPrivate || ordinary), `operator ${operator}, private ${isPrivate}, ${url}: ${d.reason}`);
        if (!d.allowed) assert.equal(d.code, "address_denied");
      }
    }
  });

  test("are part of what check says", () => {
    const p = policy([{ url: "http://127.0.0.1:*", private: true }, { url: "http://*:*", methods: ["GET", "POST", "patch"] }], { private: ["http://127.0.0.1:9000"] });
    for (const [method, url, code] of [
      ["get", "http://x/", undefined], ["Post", "http://x/", undefined], ["PATCH", "http://x/", "method_denied"], ["patch", "http://x/", undefined],
      ["GET", "http://127.0.0.1:9000/", undefined], ["GET", "http://127.0.0.1:9001/", "address_denied"], ["GET", "http://10.0.0.1/", "address_denied"],
      ["GET", "http://localhost:9000/", "address_denied"], ["GET", "http://a.localhost./", "address_denied"], ["GET", "http://localhost.example/", undefined],
      ["GET", "http://8.8.8.8/", undefined], ["GET", "http://u@x/", "invalid_url"], ["GET", "ws://x/", "unsupported_protocol"], ["GET", "http://x/\n", "invalid_request"],
    ] as const) assert.equal(p.check(url, method).code, code, `${method} ${url}`);
  });
});
