import { Malformed, Reader } from "./reader.js";

/** Section identifiers. */
export const sections = { type: 1, import: 2, function: 3, table: 4, memory: 5, tag: 13, global: 6, export: 7, start: 8, element: 9, dataCount: 12, code: 10, data: 11 };

/** The order that sections must have. */
export const order = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

/** Kinds of imports and exports. */
export const kindNames = ["function", "table", "memory", "global", "tag"];

export interface Section {
  id: number;
  from: number; // of its contents
  to: number;
}

export interface Import {
  module: string;
  name: string;
  kind: number;
  type: number; // of a function
}

export interface Export {
  name: string;
  kind: number;
  index: number;
}

/** What a module's sections tell, as far as the host wants to know. */
export class Outline {
  readonly sections: Section[] = [];
  types: string[] = []; // "iI:f"
  imports: Import[] = [];
  functions: number[] = []; // the types of its own
  memories: { min: number; max: number | undefined }[] = [];
  tables: number[] = []; // the entries that they have at first
  globals = 0;
  exports: Export[] = [];
  start: number | undefined;

  /** Throws a Malformed. */
  constructor(readonly bytes: Uint8Array) {
    const r = new Reader(bytes);
    if (r.u32() !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d || bytes[4] !== 1) {
      throw new Malformed("it is no WebAssembly module");
    }
    r.at = 8;
    while (r.more()) {
      const id = r.byte();
      const size = r.u32();
      const section = { id, from: r.at, to: r.at + size };
      r.skip(size);
      this.sections.push(section);
      this.read(section);
    }
  }

  section(id: number): Section | undefined {
    return this.sections.find((s) => s.id === id);
  }

  private read({ id, from, to }: Section): void {
    const r = new Reader(this.bytes, from, to);
    switch (id) {
      case sections.type:
        this.types = r.vector(() => functionType(r));
        break;
      case sections.import:
        this.imports = r.vector(() => this.import(r));
        break;
      case sections.function:
        this.functions = r.vector(() => r.u32());
        break;
      case sections.table:
        this.tables = r.vector(() => tableMin(r));
        break;
      case sections.memory:
        this.memories = r.vector(() => limits(r));
        break;
      case sections.global:
        this.globals = r.u32();
        break;
      case sections.export:
        this.exports = r.vector(() => ({ name: r.name(), kind: r.byte(), index: r.u32() }));
        break;
      case sections.start:
        this.start = r.u32();
    }
  }

  private import(r: Reader): Import {
    const out = { module: r.name(), name: r.name(), kind: r.byte(), type: 0 };
    switch (out.kind) {
      case 0:
        out.type = r.u32();
        break;
      case 1:
        r.valueType();
        limits(r);
        break;
      case 2:
        limits(r);
        break;
      case 3:
        r.valueType();
        r.byte();
        break;
      default:
        r.byte();
        r.u32();
    }
    return out;
  }

  /** How many functions are imported; their indexes come first. */
  importedFunctions(): number {
    return this.imports.filter((i) => i.kind === 0).length;
  }

  /** The type of an exported function; undefined if there is none of that name. */
  exportedFunction(name: string): string | undefined {
    const found = this.exports.find((e) => e.kind === 0 && e.name === name);
    if (!found) return undefined;
    const own = found.index - this.importedFunctions();
    const type = own < 0 ? this.imports.filter((i) => i.kind === 0)[found.index]!.type : this.functions[own];
    return type === undefined ? undefined : this.types[type];
  }
}

const letters: Record<number, string> = { 0x7f: "i", 0x7e: "I", 0x7d: "f", 0x7c: "F", 0x7b: "v", 0x70: "r", 0x6f: "x" };

function functionType(r: Reader): string {
  if (r.byte() !== 0x60) throw new Malformed("it has types of a WebAssembly that isn't supported");
  const types = () => r.vector(() => letters[r.valueType()] ?? "?").join("");
  return types() + ":" + types();
}

/** A memory's or a table's. Shared ones and those of 64 bits are left to others. */
export function limits(r: Reader): { min: number; max: number | undefined } {
  const flags = r.byte();
  if (flags > 1) throw new Malformed("its memory or table is shared, or of 64 bits, which isn't supported");
  return { min: r.u32(), max: flags === 1 ? r.u32() : undefined };
}

function tableMin(r: Reader): number {
  if (r.byte() === 0x40) throw new Malformed("it has a table of a WebAssembly that isn't supported"); // one with an initialiser
  if (r.bytes[r.at - 1] === 0x63 || r.bytes[r.at - 1] === 0x64) r.leb();
  return limits(r).min;
}
