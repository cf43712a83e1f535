/**
 * One pass over a module before it is compiled, so that the plugin's memory limit holds and is told from a trap:
 *
 *  - a memory's maximum, and a table's, is cut to the limit;
 *  - `memory.grow` becomes a call of an added function, which keeps what it refused in a global (an index at the end, so that no other
 *    index moves);
 *  - the start section becomes an export, since a guest can be suspended only in an export (JSPI), and needs its memory found;
 *  - the memory is exported, if it isn't.
 *
 * Code with an instruction that isn't known here stays as it is: then the maximum alone limits the memory.
 */
import { limits, order, Outline, sections } from "./module.js";
import { call, instruction, memoryGrow, UnknownInstruction } from "./opcodes.js";
import { leb, Reader } from "./reader.js";
import { bytesOf } from "./wire.js";
import { entrySize, maxTableEntries } from "./limits.js";

const pageSize = 64 << 10;

/** The module as it is to be compiled, and the names of what was added: "" where it wasn't. */
export interface Rewritten {
  bytes: Uint8Array;
  memory: string; // the memory's export
  start: string; // the function to call first
  room: string; // a mutable global: pages that the memory may have
  refused: string; // another: pages that it was refused, at most
}

/** Rewrites a module for so many bytes of memory. */
export function rewrite(mod: Outline, limit: number): Rewritten {
  let prefix = "sortie:";
  while (mod.exports.some((e) => e.name.startsWith(prefix))) prefix += ":";
  const pages = Math.min(Math.floor(limit / pageSize), 65536);
  const exported = mod.exports.find((e) => e.kind === 2);
  const out: Rewritten = { bytes: mod.bytes, memory: exported?.name ?? "", start: "", room: "", refused: "" };
  const added: number[][] = []; // exports
  if (!exported && mod.memories.length > 0) added.push(entry((out.memory = prefix + "memory"), 2, 0));
  if (mod.start !== undefined) added.push(entry((out.start = prefix + "start"), 0, mod.start));

  const edits = new Map<number, Uint8Array>();
  cutLimits(mod, edits, pages, Math.min(Math.floor(limit / entrySize), maxTableEntries));
  const grower = mod.importedFunctions() + mod.functions.length;
  const code = mod.memories.length > 0 ? growers(mod, grower, mod.globals) : undefined;
  if (code) {
    const known = mod.types.indexOf("i:i");
    const type = known < 0 ? mod.types.length : known;
    if (known < 0) edits.set(sections.type, longer(mod, sections.type, [[0x60, 1, 0x7f, 1, 0x7f]]));
    edits.set(sections.function, longer(mod, sections.function, [leb(type)]));
    edits.set(sections.global, longer(mod, sections.global, [global(pages), global(0)]));
    edits.set(sections.code, code);
    added.push(entry((out.room = prefix + "room"), 3, mod.globals), entry((out.refused = prefix + "refused"), 3, mod.globals + 1));
  }
  if (added.length > 0) edits.set(sections.export, longer(mod, sections.export, added));
  out.bytes = assemble(mod, edits);
  return out;
}

const entry = (name: string, kind: number, index: number): number[] => {
  const bytes = bytesOf(name);
  return [...leb(bytes.length), ...bytes, kind, ...leb(index)];
};

/** A mutable i32. */
const global = (v: number): number[] => [0x7f, 1, 0x41, ...signed(v), 0x0b];

/** A signed LEB128 integer, not below 0. */
function signed(v: number): number[] {
  const out = leb(v);
  if (out.at(-1)! & 0x40) {
    out[out.length - 1]! |= 0x80;
    out.push(0);
  }
  return out;
}

/** A section's contents with more elements at the end. */
function longer(mod: Outline, id: number, more: number[][]): Uint8Array {
  const s = mod.section(id);
  const r = s ? new Reader(mod.bytes, s.from, s.to) : undefined;
  const n = r?.u32() ?? 0;
  return join([leb(n + more.length), s ? mod.bytes.subarray(r!.at, s.to) : [], ...more]);
}

function cutLimits(mod: Outline, edits: Map<number, Uint8Array>, pages: number, entries: number): void {
  for (const [id, most] of [[sections.memory, pages], [sections.table, entries]] as const) {
    const s = mod.section(id);
    if (!s) continue;
    const r = new Reader(mod.bytes, s.from, s.to);
    const each = Math.floor(most / Math.max(mod.tables.length, 1)); // of memories there is one
    const cut = r.vector(() => {
      const from = r.at;
      if (id === sections.table) r.valueType();
      const type = [...mod.bytes.subarray(from, r.at)];
      const { min, max } = limits(r);
      return [...type, 1, ...leb(min), ...leb(Math.max(Math.min(max ?? each, each), min))];
    });
    edits.set(id, join([leb(cut.length), ...cut]));
  }
}

/** The code section with each memory.grow made a call of the function at that index, which is added; undefined where there is none, or an unknown instruction. */
function growers(mod: Outline, grower: number, firstGlobal: number): Uint8Array | undefined {
  const s = mod.section(sections.code);
  if (!s) return undefined;
  const r = new Reader(mod.bytes, s.from, s.to);
  const n = r.u32();
  const parts: (Uint8Array | number[])[] = [leb(n + 1)];
  const replacement = [call, ...leb(grower)];
  let found = false;
  try {
    for (let i = 0; i < n; i++) {
      const at = r.at;
      const size = r.u32();
      const from = r.at;
      const end = from + size;
      r.skip(size);
      const grows = growsIn(new Reader(mod.bytes, from, end));
      if (grows.length === 0) {
        parts.push(mod.bytes.subarray(at, end));
        continue;
      }
      found = true;
      const body: (Uint8Array | number[])[] = [];
      let done = from;
      for (const [start, stop] of grows) {
        body.push(mod.bytes.subarray(done, start), replacement);
        done = stop;
      }
      body.push(mod.bytes.subarray(done, end));
      const whole = join(body);
      parts.push(leb(whole.length), whole);
    }
  } catch (e) {
    if (e instanceof UnknownInstruction) return undefined;
    throw e;
  }
  if (!found) return undefined;
  const body = growBody(firstGlobal, firstGlobal + 1);
  parts.push(leb(body.length), body);
  return join(parts);
}

/** Where a body has its memory.grow instructions. */
function growsIn(r: Reader): [from: number, to: number][] {
  for (let groups = r.u32(); groups > 0; groups--) {
    r.u32();
    r.valueType();
  }
  const out: [number, number][] = [];
  while (r.more()) {
    const from = r.at;
    if (instruction(r) === memoryGrow) out.push([from, r.at]);
  }
  return out;
}

/**
 * (func (param $n i32) (result i32) (local $want i32)
 *   want = memory.size + n   (i64, since it may pass 2^32; kept as u32, at most 2^32-1)
 *   if want <= room then { r = memory.grow n; if r != -1 return r }
 *   if refused < want then refused = want
 *   return -1)
 */
function growBody(room: number, refused: number): number[] {
  const get = (l: number) => [0x20, l];
  const want = [0x3f, 0, ...get(0), 0x6a]; // both are below 2^32; a sum that wraps is below n
  return [
    1, 1, 0x7f, // a local, $want
    ...want, 0x22, 1, ...get(0), 0x49, 0x04, 0x40, 0x41, 0x7f, 0x21, 1, 0x0b, // want = size + n; if want < n { want = -1 }
    ...get(1), 0x23, ...leb(room), 0x4d, 0x04, 0x40, // if want <= room
    ...get(0), 0x40, 0, 0x22, 0, 0x41, 0x7f, 0x47, 0x04, 0x40, ...get(0), 0x0f, 0x0b, // r = grow; if r != -1 return r
    0x0b,
    0x23, ...leb(refused), ...get(1), 0x49, 0x04, 0x40, ...get(1), 0x24, ...leb(refused), 0x0b, // refused = max
    0x41, 0x7f, 0x0b,
  ];
}

function assemble(mod: Outline, edits: Map<number, Uint8Array>): Uint8Array {
  const parts: (Uint8Array | number[])[] = [mod.bytes.subarray(0, 8)];
  const left = new Map(edits);
  const put = (id: number, contents: Uint8Array) => parts.push([id], leb(contents.length), contents);
  /** Sections that the module didn't have, and that come before that one. */
  const missing = (before: number) => {
    for (const id of order.slice(0, before)) {
      const contents = left.get(id);
      if (contents) put(id, contents);
      left.delete(id);
    }
  };
  for (const s of mod.sections) {
    if (s.id === sections.start) continue;
    if (s.id !== 0) missing(order.indexOf(s.id));
    put(s.id, left.get(s.id) ?? mod.bytes.subarray(s.from, s.to));
    left.delete(s.id);
  }
  missing(order.length);
  return join(parts);
}

function join(parts: (Uint8Array | number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}
