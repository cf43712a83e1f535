import { maxMessage, maxQuoted } from "./params.js";

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** Makes a guest's or an upstream's text fit for a message: one line, printable, bounded, in quotation marks. */
export function quote(text: string): string {
  return `"${bounded(text, maxQuoted)}"`;
}

/** Replaces what isn't printable and cuts text to at most limit bytes of UTF-8. */
export function bounded(text: string, limit: number): string {
  const bytes = text.length * 3 <= limit ? undefined : encoder.encode(text);
  const cut = bytes !== undefined && bytes.length > limit;
  if (cut) text = decoder.decode(bytes.subarray(0, limit));
  return text.replace(/[\p{C}\p{Zl}\p{Zp}\ufffd]|(?! )\p{Zs}/gu, "?") + (cut ? "…" : "");
}

/** The last thing that happens to a message. */
export function clean(message: string): string {
  return bounded(message, maxMessage);
}

/** Milliseconds as reports have them: with microseconds. */
export function milliseconds(ms: number): number {
  return Math.floor(ms * 1000) / 1000;
}

/** A text as the characters that fetch() takes in a field: one for each byte of its UTF-8. */
export function toFieldBytes(text: string): string {
  return /^[\0-\x7f]*$/.test(text) ? text : String.fromCharCode(...encoder.encode(text));
}

/** The text of a field that fetch() gave, one character for each byte; otherwise, if that isn't UTF-8. */
export function fromFieldBytes(bytes: string, otherwise = bytes): string {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
  } catch {
    return otherwise;
  }
}
