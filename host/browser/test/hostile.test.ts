/**
 * Whatever calls a guest makes, in any order and with any arguments, the invocation ends with one of the contract's codes, the host never
 * fails, and the next invocation works. The guest is host/testdata/wat/hostile.wat, whose request tells it what to call; it notices by
 * itself when the host writes where it may not, or accepts a range outside the memory. See host/wat_fuzz_test.go.
 */
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { signatures } from "../src/guest/signatures.js";
import type * as sortie from "../src/index.js";
import type { Plugin, Report } from "../src/index.js";
import { chance } from "./chance.js";
import { findChromium } from "./find_chromium.mjs";
import { openPage } from "./page.mjs";
import { loaded, loopback, wat } from "./plugins.js";
import { eventually, upstream } from "./upstream.js";
import type { Upstream } from "./upstream.js";

/** In the order of the guest's table. */
const functions = [...signatures].slice(0, 2).flatMap(([, table]) => [...table]).map(([name, type]) => ({ name, params: type.split(":")[0]! }));

/** What the guest executes; the operations are those of hostile.wat. */
class Program {
  bytes: number[] = [];

  private u(n: number, v: number | bigint): this {
    for (let i = 0n; i < n; i++) this.bytes.push(Number((BigInt.asUintN(64, BigInt(v)) >> (8n * i)) & 0xffn));
    return this;
  }

  call(name: string, ...args: (number | bigint)[]): this {
    const at = functions.findIndex((f) => f.name === name);
    this.bytes.push(at);
    [...functions[at]!.params].forEach((kind, i) => this.u(kind === "I" ? 8 : 4, args[i]!));
    return this;
  }

  fill(to: number, data: number[]): this {
    this.bytes.push(0xf0);
    return this.u(4, to).u(2, data.length).raw(data);
  }

  raw(data: number[]): this {
    this.bytes.push(...data);
    return this;
  }

  keep(to: number): this {
    this.bytes.push(0xf1);
    return this.u(4, to);
  }

  /** Executes what was added since a length from again (0xf2), or while the last result is EAGAIN (0xf3). */
  jump(op: 0xf2 | 0xf3, from: number, times: number): this {
    const back = this.bytes.length - from + 4;
    this.bytes.push(op);
    return this.u(2, back).u(1, times);
  }

  use(i: number): this {
    return this.raw([0xf4, i]);
  }

  end(result: number): this {
    return this.raw([0xf5, result]);
  }

  /** Waits for one handle for ever. */
  await(id: number): this {
    return this.fill(0x800, [id, 0, 0, 0]).call("wait", 0x800, 1, 0, -1, 0x900);
  }
}

let up: Upstream;
before(async () => void (up = await upstream()));
after(() => up.close());

/** Readers of an answer: all of it is read, or a piece, or nothing. */
type Reader = 0 | 1 | 2;

/** Where hostile guests run, entered when their request is there, or before; the canary is given the time it needs. */
interface Arena {
  invoke(which: "whole" | "pieces" | "canary", body: number[], reader: Reader): Promise<{ text: string; report: Report }>;
  close(): Promise<void>;
}

const limits = { wall: "150ms", stream: "150ms", cpu: "1s", memory: "1MiB", input: "64KiB", output: "256KiB", log: "8KiB" };
const manifests = { whole: { fetch: loopback, limits }, pieces: { fetch: loopback, limits, config: { stream: true } }, canary: { fetch: loopback } };

/** Calls a plugin; in a page too, where nothing else of this file is. */
async function invoke(plugin: Plugin, body: number[], reader: Reader): Promise<{ text: string; report: Report }> {
  const got = await plugin.fetch("/", { method: "POST", body: Uint8Array.from(body) });
  let text = "";
  if (reader === 0) text = await got.text().catch(() => "");
  if (reader === 1) {
    const r = got.body?.getReader();
    await r?.read().catch(() => {});
    await r?.cancel().catch(() => {});
  }
  return { text, report: (await plugin.reportOf(got))! };
}

async function nodeArena(): Promise<Arena> {
  const guest = await wat("hostile");
  const plugins = { whole: await loaded(guest, manifests.whole), pieces: await loaded(guest, manifests.pieces), canary: await loaded(guest, manifests.canary) };
  return {
    invoke: (which, body, reader) => invoke(plugins[which], body, reader),
    close: async () => Object.values(plugins).forEach((p) => p.close()),
  };
}

/** What the page has. */
declare const globalThis: { sortie: typeof sortie; plugins: Record<string, Plugin>; invoke: typeof invoke };

async function chromiumArena(mode: "jspi" | "atomics"): Promise<Arena> {
  const root = fileURLToPath(new URL("./", import.meta.url));
  copyFileSync(new URL("../../host/testdata/wat/hostile.wasm", import.meta.url), `${root}/hostile.wasm`);
  const page = await openPage(root, { isolated: mode === "atomics" });
  await page.evaluate(
    async ([manifests, mode, source]) => {
      const options = { mode, operator: { private: ["http://127.0.0.1:*"] } };
      globalThis.plugins = {};
      for (const [name, manifest] of Object.entries(manifests)) globalThis.plugins[name] = await globalThis.sortie.load("/hostile.wasm", manifest, options);
      globalThis.invoke = (0, eval)(`(${source})`);
    },
    [manifests, mode, invoke.toString()] as const,
  );
  return {
    invoke: (which, body, reader) =>
      page.evaluate(([which, body, reader]) => globalThis.invoke(globalThis.plugins[which]!, body, reader), [which, body, reader] as const),
    close: () => page.close(),
  };
}

/** A fetch of a path of the upstream; with flags, one for open. Its body, if it has a length, is at address 0x1000. */
function to(flags: number, method: string, path: string, size: number): number[] {
  const url = Buffer.from(up.url + path);
  const head = [...(flags >= 0 ? [flags] : []), method.length, ...Buffer.from(method), url.length, ...url, 0, 0, 0, 0, 0, 0, 0];
  return size === 0 ? [...head, 0, 0] : [...head, 0x50, 0x00, ...varint(size)];
}

const varint = (n: number): number[] => (n < 64 ? [n] : [0x80 | (n >> 24), (n >> 16) & 255, (n >> 8) & 255, n & 255]);

const groupOf = (mode: number, count: number, ...members: number[][]) => [mode, count, 0, 0, members.length, ...members.flatMap((m) => [...varint(m.length), ...m])];

function canary(): Program {
  const one = to(-1, "", "/ok", 0);
  return new Program().fill(0, one).call("send", 0, one.length).await(1).call("head", 1, 0x4000, 0x1000).call("body", 1, 0x2000, 64)
    .fill(0, [0, 0, 0x60, 0x00, 2]).call("respond", 0, 5).end(0);
}

/** Those that do what guests do, and what they shouldn't. */
function programs(): Record<string, Program> {
  const all: Record<string, Program> = { canary: canary(), nothing: new Program() };
  const upload = to(3, "POST", "/echo", 0);
  let p = new Program().fill(0, upload).call("open", 0, upload.length);
  let from = p.bytes.length;
  p.await(1).call("write", 1, 0, 0x8000).jump(0xf3, from, 3).jump(0xf2, from, 3).call("finish", 1).await(1).call("head", 1, 0x4000, 0x1000);
  p.fill(0x400, [0, 0]).call("begin", 0x400, 2).keep(0x500);
  from = p.bytes.length;
  all["through streams"] = p.await(1).call("read", 1, 0x1000, 0x4000).jump(0xf3, from, 9).use(2).call("write", 2, 0x1000, 1).await(2)
    .jump(0xf2, from, 9).call("finish", 2).end(0);

  const members = groupOf(1, 0, to(3, "PUT", "/echo", 0), to(1, "", "/big", 0), to(0, "POST", "/echo", 99), to(1, "", "/stall", 0));
  all["a group of streams"] = new Program().fill(0, members).call("open_group", 0, members.length).call("write", 2, 0x1000, 0x4000)
    .call("finish", 2).await(2).call("read", 2, 0x1000, 0x4000).await(3).call("read", 3, 0x1000, 0x4000).call("cancel", 3).call("read", 3, 0x1000, 1)
    .call("read_error", 3, 0x4000, 0x1000).await(5).call("read", 5, 0x1000, 9).call("read", 5, 0x1000, 9).await(5).call("drop", 1)
    .call("read", 5, 0, 1).end(1);
  for (let mode = 0; mode < 5; mode++) {
    const group = groupOf(mode, 1, to(-1, "", "/ok", 0), to(-1, "", "/hold", 0), to(-1, "", "/reset", 0));
    all[`group of mode ${mode}`] = new Program().fill(0, group).call("group", 0, group.length).call("quiet", 1).await(2).call("outcomes", 1, 0x4000, 0x1000)
      .call("cancel", 3).await(1).call("outcomes", 1, 0x4000, 0x1000).call("outcomes", 1, 0x4000, 1).call("drop", 1).await(1).end(0);
  }

  const subscriptions: number[] = new Array(96).fill(0);
  subscriptions[8] = 1;
  subscriptions[16] = 3; // the descriptor
  subscriptions[64] = subscriptions[75] = 1; // a clock, 16 ms
  p = new Program().fill(0, to(1, "", "/big", 0)).call("open", 0, to(1, "", "/big", 0).length).fill(0x100, subscriptions).fill(0x200, [0, 0x20, 0, 0, 64, 0, 0, 0]);
  from = p.bytes.length;
  all["descriptor 3"] = p.call("poll_oneoff", 0x100, 0x300, 2, 0x400).call("fd_read", 3, 0x200, 1, 0x210).call("read", 1, 0x1000, 0x8000).jump(0xf2, from, 20).end(0);
  all["a deadlock"] = new Program().fill(0x100, subscriptions).call("poll_oneoff", 0x100, 0x300, 1, 0x400);

  p = new Program().call("open_request").call("open_request").keep(0x800);
  from = p.bytes.length;
  all["its own request"] = p.call("read", 1, 0x1000, 100).call("read_request", 0x1000, 100).jump(0xf2, from, 5).call("cancel", 1).call("read", 1, 0, 1)
    .call("read_error", 1, 0x1000, 0x1000).call("drop", 1).call("read", 1, 0, 1).call("stream_request").call("time_left").end(0);

  const hold = to(3, "POST", "/hold", 0);
  p = new Program().fill(0, hold).fill(0x400, [0, 0]);
  from = p.bytes.length;
  all["more than it may"] = p.call("open", 0, hold.length).jump(0xf2, from, 250).call("begin", 0x400, 2).call("write", 200, 0, 0x8000).end(0);

  p = new Program().fill(0x400, [0, 0]).call("begin", 0x400, 2).call("begin", 0x400, 2).call("respond", 0x400, 2).call("cancel", 1);
  from = p.bytes.length;
  all["a longer answer than it may"] = p.await(1).call("write", 1, 0, 0x9000).jump(0xf2, from, 20).call("drop", 1).end(0);
  all["an answer cut off"] = new Program().fill(0x400, [0, 0]).call("begin", 0x400, 2).call("write", 1, 0, 0x9000).call("proc_exit", 7);

  p = new Program();
  for (const f of functions) {
    if (f.name === "proc_exit") continue;
    for (const at of [0xffff, 0x10000, 0x10001, -1]) p.call(f.name, ...[...f.params].map(() => at));
  }
  all["outside"] = p;
  return all;
}

/** A program by chance: about a third of its calls have arguments that fit. */
function random(r: () => number): Program {
  const n = (below: number) => Math.floor(r() * below);
  const pick = <T>(...of: T[]): T => of[n(of.length)]!;
  const addresses = [0, 8, 0x100, 0x800, 0x1000, 0x2000, 0xbfff, 0xc000, 0xc010, 0xfff0, 0xfff8, 0xffff, 0x10000, 2 ** 31, -1, -16];
  const argument = (kind: string) => {
    if (kind === "I") return pick(0n, 1n, -1n, 1_000_000n, 1_000_000_000n, BigInt(n(2 ** 31)) << BigInt(n(33)));
    if (n(3) === 0) return n(8);
    return n(8) === 0 ? n(2 ** 32) : pick(...addresses, 1, 4, 16, 64, 1024, 4096, 0x8000, 0xffff);
  };
  const path = () => pick("/ok", "/echo", "/big", "/hold", "/stall", "/reset");
  const method = () => pick("", "POST", "PUT", "HEAD");
  /** Changed by a bit, now and then. */
  const mutated = (b: number[]) => {
    if (n(4) === 0) b[n(b.length)]! ^= 1 << n(8);
    return b;
  };
  const p = new Program();
  const starting = (name: string, b: number[]) => p.fill(0, mutated(b)).call(name, 0, b.length);
  for (let i = 1 + n(40); i > 0; i--) {
    switch (n(16)) {
      case 0:
        starting("open", to(n(4), method(), path(), 0));
        break;
      case 1:
        starting("send", to(-1, method(), path(), pick(0, 1, 100, 0x4000)));
        break;
      case 2:
        starting("group", groupOf(n(5), n(3), to(-1, method(), path(), 9), to(-1, method(), path(), 0)));
        break;
      case 3:
        starting("open_group", groupOf(n(5), n(3), to(n(4), method(), path(), 0), to(n(4), method(), path(), 0)));
        break;
      case 4:
        starting("begin", [0, 0]);
        break;
      case 5:
      case 6:
        p.fill(0x800, [n(8), 0, 0, 0]).call("wait", 0x800, 1, 0, n(20) * 1_000_000, 0x900);
        break;
      case 7:
        p.call(pick("read", "write"), n(8), pick(0x1000, 0x2000), pick(0, 1, 100, 0x4000));
        break;
      case 8:
        p.call(pick("finish", "cancel", "drop"), n(8));
        break;
      case 9:
        p.keep(pick(...addresses));
        break;
      case 10:
        p.jump(pick(0xf2, 0xf3), n(p.bytes.length + 1), n(12));
        break;
      case 11:
        p.use(n(4));
        break;
      default: {
        const f = functions[n(functions.length)]!;
        if (f.name !== "proc_exit" || n(10) === 0) p.call(f.name, ...[...f.params].map(argument));
      }
    }
  }
  return p;
}

/** Has the guest execute a program, and checks all that must hold whatever it does. */
async function run(arena: Arena, bytes: number[], which: "whole" | "pieces", reader: Reader): Promise<void> {
  const program = bytes.slice(0, 0x3f00);
  const body = [program.length & 255, program.length >> 8, ...program, ...Buffer.from("what is left for the program")];
  const { report } = await arena.invoke(which, body, reader);
  assert.equal(broken(report), "", `program ${Buffer.from(program).toString("hex")}`);
}

/** What is wrong about an invocation's end. */
function broken({ code, detail, logs }: Report): string {
  if ([detail, ...logs.map((l) => l.message)].some((s) => s?.includes("guard: "))) return `the guest accuses the host: ${detail} ${JSON.stringify(logs)}`;
  const fine = ["plugin_error", "limit_wall", "limit_cpu", "limit_output", "limit_input", "cancelled"];
  return code === undefined || fine.includes(code) ? "" : `${code}: ${detail}`;
}

/** Has the next invocation prove that the host still works. */
async function check(arena: Arena): Promise<void> {
  const { bytes } = canary();
  assert.equal((await arena.invoke("canary", [bytes.length & 255, bytes.length >> 8, ...bytes], 0)).text, "ok");
}

const chromium = findChromium() !== undefined;
const arenas: [name: string, open: () => Promise<Arena>, skip: boolean][] = [
  ["Node", nodeArena, false], ["Chromium, JSPI", () => chromiumArena("jspi"), !chromium], ["Chromium, Atomics", () => chromiumArena("atomics"), !chromium],
];

for (const [name, open, skip] of arenas) {
  describe(name, { skip }, () => {
    let arena: Arena;
    before(async () => void (arena = await open()));
    after(() => arena?.close());

    test("programs that do what guests do, and what they shouldn't", async () => {
      for (const [what, p] of Object.entries(programs())) {
        for (const which of ["whole", "pieces"] as const) {
          for (const reader of [0, 1, 2] as const) {
            await run(arena, p.bytes, which, reader).catch((e: Error) => assert.fail(`${what}, ${which}, reader ${reader}: ${e.message}`));
          }
        }
      }
      await check(arena);
    });

    test("programs by chance", async () => {
      await Promise.all(Array.from({ length: 8 }, async (_, seed) => {
        const r = chance(seed);
        for (let i = 0; i < 25; i++) {
          let { bytes } = random(r);
          if (i % 5 === 4) bytes = bytes.map(() => Math.floor(r() * 256)); // and nonsense
          await run(arena, bytes, r() < 0.5 ? "whole" : "pieces", Math.floor(r() * 3) as Reader);
        }
      }));
      await check(arena);
      await eventually("nothing is in flight", () => up.inFlight() === 0);
    });
  });
}
