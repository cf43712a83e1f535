/** A module that can't be read. */
export class Malformed extends Error {}

/** Reads the parts of WebAssembly's binary format (Core Specification 2.0, section 5). Throws a Malformed past the end. */
export class Reader {
  constructor(
    readonly bytes: Uint8Array,
    public at = 0,
    readonly end = bytes.length,
  ) {}

  more(): boolean {
    return this.at < this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new Malformed("it ends in the middle of a section");
    return this.bytes[this.at++]!;
  }

  skip(n: number): void {
    if (n > this.end - this.at) throw new Malformed("it ends in the middle of a section");
    this.at += n;
  }

  /** An unsigned LEB128 integer of 32 bits. */
  u32(): number {
    let v = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const b = this.byte();
      v += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) return v;
    }
    throw new Malformed("an integer is too long");
  }

  /** Passes a LEB128 integer of up to 64 bits. */
  leb(): void {
    for (let n = 0; n < 10; n++) if (this.byte() < 0x80) return;
    throw new Malformed("an integer is too long");
  }

  /** A value type: one byte, or for a typed reference a heap type after it. */
  valueType(): number {
    const type = this.byte();
    if (type === 0x63 || type === 0x64) this.leb();
    return type;
  }

  name(): string {
    const n = this.u32();
    const from = this.at;
    this.skip(n);
    return new TextDecoder().decode(this.bytes.subarray(from, this.at));
  }

  /** A vector's elements. */
  vector<T>(each: (i: number) => T): T[] {
    const n = this.u32();
    if (n > this.end - this.at) throw new Malformed("a vector has more elements than bytes");
    return Array.from({ length: n }, (_, i) => each(i));
  }
}

/** The bytes of an unsigned LEB128 integer. */
export function leb(v: number): number[] {
  const out: number[] = [];
  do {
    const low = v % 128;
    v = Math.floor(v / 128);
    out.push(v > 0 ? low | 0x80 : low);
  } while (v > 0);
  return out;
}
