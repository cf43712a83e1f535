import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { inspect } from "../src/guest/inspect.js";
import { Outline } from "../src/guest/module.js";
import { rewrite } from "../src/guest/rewrite.js";
import { parseManifest } from "../src/manifest/index.js";
import { built, wat } from "./plugins.js";
import { chance } from "./chance.js";

const { manifest } = parseManifest({});

/** A module of sections, each an id and its contents. */
function module(...sections: [id: number, ...contents: number[]][]): Uint8Array {
  return Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flatMap(([id, ...contents]) => [id, contents.length, ...contents])]);
}

const text = (s: string) => [s.length, ...Buffer.from(s)];
const noneToI32 = [0x60, 0, 1, 0x7f];
const handle = (body: number[]): [number, ...number[]][] => [[3, 1, 0], [7, 1, ...text("handle"), 0, 0], [10, 1, body.length + 1, 0, ...body]];

/** (func (export "handle") (result i32) (memory.grow (i32.const n))) with a memory of one page. */
const growing = (n: number) => {
  const [types, exports, code] = handle([0x41, n, 0x40, 0, 0x0b]);
  return module([1, 1, ...noneToI32], types!, [5, 1, 0, 1], exports!, code!);
};

test("every guest is the same after the rewrite, and compiles", async () => {
  const names = (await readdir(new URL("../../host/testdata/wat/", import.meta.url))).filter((n) => n.endsWith(".wasm"));
  for (const name of names) {
    const before = await wat(name.slice(0, -5));
    const out = rewrite(new Outline(before), 1 << 24);
    const compiled = await WebAssembly.compile(out.bytes as Uint8Array<ArrayBuffer>);
    assert.deepEqual(WebAssembly.Module.imports(compiled), WebAssembly.Module.imports(await WebAssembly.compile(before)), name);
  }
  const go = rewrite(new Outline(await built("guest")), 1 << 24);
  assert.notEqual(go.room, "", "Go's code is known to the last instruction");
  await WebAssembly.compile(go.bytes as Uint8Array<ArrayBuffer>);
});

test("growth is counted, and what was refused is told", async () => {
  for (const [pages, want, refused] of [[1, 1, 0], [3, 1, 0], [4, -1, 5], [63, -1, 64]] as const) {
    const out = rewrite(new Outline(growing(pages)), 4 << 16);
    const { exports } = (await WebAssembly.instantiate(out.bytes as Uint8Array<ArrayBuffer>)).instance;
    assert.equal((exports.handle as () => number)(), want, `${pages} pages more`);
    assert.equal((exports[out.refused] as WebAssembly.Global).value, refused);
  }
  const out = rewrite(new Outline(growing(1)), 4 << 16);
  const { exports } = (await WebAssembly.instantiate(out.bytes as Uint8Array<ArrayBuffer>)).instance;
  (exports[out.room] as WebAssembly.Global).value = 1;
  assert.equal((exports.handle as () => number)(), -1, "the room is taken otherwise");
  assert.ok(exports[out.memory] instanceof WebAssembly.Memory, "the memory is exported");
});

test("a start function becomes an export", async () => {
  const [types, exports, code] = handle([0x41, 0, 0x0b]);
  const out = rewrite(new Outline(module([1, 2, ...noneToI32, 0x60, 0, 0], [3, 2, 0, 1], exports!, [8, 1], [10, 2, ...code!.slice(2), 3, 0, 0, 0x0b])), 1 << 16);
  void types;
  const instance = (await WebAssembly.instantiate(out.bytes as Uint8Array<ArrayBuffer>)).instance; // the start would trap
  assert.throws(() => (instance.exports[out.start] as () => void)(), WebAssembly.RuntimeError);
});

test("what can't run is refused, and told why", () => {
  const imported = (m: string, n: string, type: number[]) => {
    const [, , code] = handle([0x41, 0, 0x0b]);
    return module([1, 2, ...noneToI32, ...type], [2, 1, ...text(m), ...text(n), 0, 1], [3, 1, 0], [7, 1, ...text("handle"), 0, 1], code!);
  };
  const refused: [Uint8Array, RegExp][] = [
    [new Uint8Array(), /can't be read/],
    [new TextEncoder().encode("not wasm"), /can't be read/],
    [module(), /exports no function handle .* it exports none/],
    [imported("sortie:host/v2", "send", [0x60, 0, 0]), /ABI v2; this host speaks v1/],
    [imported("sortie:host/v1", "sends", [0x60, 0, 0]), /doesn't have; was it built for a newer one/],
    [imported("sortie:host/v1", "send", [0x60, 0, 0]), /another type/],
    [imported("env", "abort", [0x60, 0, 0]), /imports env.abort; a plugin can import from/],
    [module([1, 1, ...noneToI32], [5, 1, 0, 0x82, 0x10], ...handle([0x41, 0, 0x0b])), /needs 2050 pages of 64 KiB to start, limits.memory is 128MiB/],
    [module([1, 1, ...noneToI32], [5, 2, 0, 1, 0, 1], ...handle([0x41, 0, 0x0b])), /2 memories/],
    [module([1, 1, ...noneToI32], [5, 1, 3, 1, 1], ...handle([0x41, 0, 0x0b])), /shared/],
  ];
  for (const [bytes, why] of refused) {
    assert.throws(() => inspect(bytes, manifest), (e: Error & { code: string }) => e.code === "invalid_wasm" && why.test(e.message), String(why));
  }
});

test("no bytes make the inspection fail otherwise than by refusing", async () => {
  const next = chance(2);
  const good = await wat("small");
  for (let i = 0; i < 3000; i++) {
    const bytes = Uint8Array.from(good);
    for (let n = 1 + next() * 4; n > 0; n--) bytes[Math.floor(next() * bytes.length)] = next() * 256;
    try {
      inspect(next() < 0.5 ? bytes : bytes.subarray(0, next() * bytes.length), manifest);
    } catch (e) {
      assert.equal((e as { code?: string }).code, "invalid_wasm", String((e as Error).stack));
    }
  }
});

test("tables grow no further together than one alone", async () => {
  const n = 64;
  const types = [1, 1, ...noneToI32], grow = Array.from({ length: n }, (_, i) => [0xd0, 0x70, 0x41, 0xe0, 0xd4, 0x03, 0xfc, 0x0f, i, 0x1a]).flat(); // by 60,000
  const [functions] = handle([]);
  const size = grow.length + 4, u = (v: number) => [(v & 0x7f) | 0x80, v >> 7];
  const code = [10, ...u(size + 3), 1, ...u(size), 0, ...grow, 0x41, 0, 0x0b];
  const tables = [4, ...u(1 + n * 3), n, ...Array.from({ length: n }, () => [0x70, 0, 0]).flat()];
  const exported = [7, ...u(10 + n * 5), n + 1, ...text("handle"), 0, 0, ...Array.from({ length: n }, (_, i) => [2, 0x74, 0x30 + i, 1, i]).flat()];
  const bytes = Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, types[0]!, types.length - 1, ...types.slice(1), functions![0], functions!.length - 1, ...functions!.slice(1), ...tables, ...exported, ...code]);
  const out = rewrite(new Outline(bytes), 1 << 27);
  const { exports: all } = (await WebAssembly.instantiate(out.bytes as Uint8Array<ArrayBuffer>)).instance;
  (all.handle as () => number)();
  const entries = Object.values(all).reduce((sum, e) => sum + (e instanceof WebAssembly.Table ? e.length : 0), 0);
  assert.ok(entries <= 1_000_000, `${entries} entries`);
});

test("growth behind a block with a reference's type is seen", () => {
  // (block (result (ref null 16)) (memory.grow (i32.const 32)) unreachable): 16 is call's opcode, and 32 local.get's
  const body = [0x02, 0x63, 0x10, 0x41, 0x20, 0x40, 0, 0x1a, 0x00, 0x0b, 0x1a, 0x41, 0, 0x0b];
  const out = rewrite(new Outline(module([1, 1, ...noneToI32], [3, 1, 0], [5, 1, 0, 1], [7, 1, ...text("handle"), 0, 0], [10, 1, body.length + 1, 0, ...body])), 1 << 24);
  assert.notEqual(out.refused, "");
});
