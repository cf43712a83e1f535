/**
 * The immediates of WebAssembly's instructions (Core Specification 2.0, section 5.4, with threads, tail calls, exceptions and typed
 * function references), as far as it takes to walk over code. See host/internal/rewrite/instructions.go.
 */
import type { Reader } from "./reader.js";

/** An instruction that the walk doesn't know: the code stays as it is. */
export class UnknownInstruction extends Error {}

export const memoryGrow = 0x40;
export const call = 0x10;

/** One letter an opcode of one byte: n none, u an index, 2 two, m alignment and offset, s a signed integer, b block type; ? what needs more. */
const kinds: string[] = new Array(256).fill("");

function fill(kind: string, ...ops: (number | [number, number])[]): void {
  for (const op of ops) {
    const [from, to] = typeof op === "number" ? [op, op] : op;
    for (let o = from; o <= to; o++) kinds[o] = kind;
  }
}

fill("n", 0x00, 0x01, 0x05, 0x0a, 0x0b, 0x0f, 0x1a, 0x1b, [0x45, 0xc4], 0xd1, 0xd3, 0xd4);
fill("u", 0x08, 0x0c, 0x0d, 0x10, 0x12, 0x14, 0x15, [0x20, 0x26], 0x3f, memoryGrow, 0xd2, 0xd5, 0xd6);
fill("2", 0x11, 0x13);
fill("m", [0x28, 0x3e]);
fill("s", 0x41, 0x42, 0xd0);
fill("b", 0x02, 0x03, 0x04);
fill("?", 0x0e, 0x1c, 0x1f, 0x43, 0x44, 0xfc, 0xfd, 0xfe);

/** Passes the next instruction, and tells its opcode. Throws what isn't known. */
export function instruction(r: Reader): number {
  const op = r.byte();
  switch (kinds[op]) {
    case "n":
      break;
    case "u":
      r.u32();
      break;
    case "2":
      r.u32();
      r.u32();
      break;
    case "m":
      memarg(r);
      break;
    case "s":
      r.leb();
      break;
    case "b":
      blockType(r);
      break;
    case "?":
      other(r, op);
      break;
    default:
      unknown(op);
  }
  return op;
}

function unknown(op: number): never {
  throw new UnknownInstruction(`0x${op.toString(16)}`);
}

/** A value type, or a type's index, which is a signed integer; the types of values are the negative ones of one byte. */
function blockType(r: Reader): void {
  if (r.bytes[r.at]! & 0x40 && r.bytes[r.at]! < 0x80) r.valueType();
  else r.leb();
}

function memarg(r: Reader): void {
  if (r.u32() & 0x40) r.u32(); // which memory
  r.leb();
}

function other(r: Reader, op: number): void {
  switch (op) {
    case 0x0e: // br_table
      for (let n = r.u32(); n >= 0; n--) r.u32();
      break;
    case 0x1c: // select with types
      for (let n = r.u32(); n > 0; n--) r.valueType();
      break;
    case 0x1f: // try_table
      blockType(r);
      for (let n = r.u32(); n > 0; n--) {
        if (r.byte() < 2) r.u32(); // a tag
        r.u32();
      }
      break;
    case 0x43:
      r.skip(4);
      break;
    case 0x44:
      r.skip(8);
      break;
    case 0xfc:
      miscellaneous(r);
      break;
    case 0xfd:
      vector(r);
      break;
    case 0xfe: {
      const sub = r.u32();
      if (sub === 3) r.skip(1); // atomic.fence
      else memarg(r);
    }
  }
}

function miscellaneous(r: Reader): void {
  const sub = r.u32();
  if (sub > 0x11) unknown(sub);
  if (sub < 8) return; // saturating conversions
  r.u32();
  if ([0x08, 0x0a, 0x0c, 0x0e].includes(sub)) r.u32();
}

function vector(r: Reader): void {
  const sub = r.u32();
  if (sub > 0x113) unknown(sub);
  if (sub <= 0x0b || sub === 0x5c || sub === 0x5d) memarg(r);
  else if (sub === 0x0c || sub === 0x0d) r.skip(16);
  else if (sub >= 0x15 && sub <= 0x22) r.skip(1);
  else if (sub >= 0x54 && sub <= 0x5b) {
    memarg(r);
    r.skip(1);
  }
}
