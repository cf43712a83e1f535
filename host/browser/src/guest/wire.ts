/**
 * The encodings of host/ABI.md, section "Conventions": QUIC's variable-length integers (RFC 9000, section 16), strings, and field
 * sections (RFC 9292, section 3.6). The page and the worker both read them; what is read is a guest's, so it may be anything.
 */
import type { Field } from "../fetch/types.js";
import { maxFields } from "./limits.js";

/** A body's length that isn't known yet: 2^62-1 on the wire. As a number it is only near that. */
export const unknownLength = Number.MAX_SAFE_INTEGER;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** The text of UTF-8 bytes; what isn't UTF-8 is U+FFFD. */
export const textOf = (bytes: Uint8Array): string => utf8.decode(bytes);

/** The UTF-8 bytes of a text. */
export const bytesOf = (text: string): Uint8Array => encoder.encode(text);

/** Fields' values are bytes, which fetch's Headers carry as one character each (isomorphic encoding, Infra Standard). */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

/** The bytes of isomorphic text; characters past U+00FF, which no Headers has, lose their upper bits. */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Reads encodings. The first error sticks: from then on all that is read is empty. */
export class Decoder {
  bad = false;
  private at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  /** A variable-length integer. Above 2^53 it is inexact, which only durations and unknown lengths can be. */
  varint(): number {
    const first = this.bytes[this.at];
    const n = first === undefined ? 0 : 1 << (first >> 6);
    if (first === undefined || this.at + n > this.bytes.length) {
      this.bad = true;
      return 0;
    }
    let v = first & 0x3f;
    for (let i = 1; i < n; i++) v = v * 256 + this.bytes[this.at + i]!;
    this.at += n;
    return v;
  }

  /** A varint of at most limit. */
  number(limit: number): number {
    const v = this.varint();
    if (v <= limit) return v;
    this.bad = true;
    return 0;
  }

  bool(): boolean {
    return this.number(1) === 1;
  }

  /** A duration, in milliseconds. */
  duration(): number {
    return this.varint() / 1e6;
  }

  /** A string's bytes, not copied. */
  view(): Uint8Array {
    const n = this.varint();
    if (this.bad || n > this.bytes.length - this.at) {
      this.bad = true;
      return new Uint8Array();
    }
    return this.bytes.subarray(this.at, (this.at += n));
  }

  string(): string {
    return textOf(this.view());
  }

  /** A field section. */
  fields(): Field[] {
    const section = new Decoder(this.view());
    const out: Field[] = [];
    while (!section.done() && !section.bad) {
      if (out.length === maxFields) section.bad = true;
      const name = latin1(section.view());
      out.push([name, latin1(section.view())]);
    }
    this.bad ||= section.bad;
    return this.bad ? [] : out;
  }

  /** All that hasn't been read, not copied. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.at);
  }

  private done(): boolean {
    return this.at === this.bytes.length;
  }

  /** Whether all was read, and rightly. */
  end(): boolean {
    return !this.bad && this.done();
  }
}

/** Writes encodings. */
export class Encoder {
  private bytes = new Uint8Array(256);
  private length = 0;

  private room(n: number): void {
    if (this.length + n <= this.bytes.length) return;
    const more = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    more.set(this.bytes.subarray(0, this.length));
    this.bytes = more;
  }

  /** A variable-length integer in its shortest form; v is whole and not below 0. */
  varint(v: number): this {
    this.room(8);
    const n = v < 64 ? 1 : v < 16384 ? 2 : v < 2 ** 30 ? 4 : 8;
    if (v >= unknownLength) {
      this.bytes.fill(0xff, this.length, this.length + 8);
    } else {
      for (let i = n - 1; i >= 0; i--) {
        this.bytes[this.length + i] = v % 256;
        v = Math.floor(v / 256);
      }
      this.bytes[this.length]! |= (31 - Math.clz32(n)) << 6;
    }
    this.length += n;
    return this;
  }

  /** A duration that is given in milliseconds. */
  duration(ms: number): this {
    return this.varint(Math.round(Math.max(ms, 0) * 1e6));
  }

  bool(v: boolean): this {
    return this.varint(v ? 1 : 0);
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  string(s: string | Uint8Array): this {
    const bytes = typeof s === "string" ? bytesOf(s) : s;
    return this.varint(bytes.length).raw(bytes);
  }

  fields(fields: Iterable<Field>): this {
    const section = new Encoder();
    for (const [name, value] of fields) section.string(latin1Bytes(name)).string(latin1Bytes(value));
    return this.string(section.done());
  }

  /** What was written; the encoder's own bytes. */
  done(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
