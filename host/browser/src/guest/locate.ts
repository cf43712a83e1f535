/**
 * Finds, in what a guest encodes, where the bodies lie, so that they cross to the page in the same call. Whether the encoding is right
 * is the page's to say; here it only must not be made to copy more than the page would take.
 */
import { view } from "./host.js";
import type { Host } from "./host.js";
import { Decoder } from "./wire.js";

/** Where a body is said to lie. */
interface Place {
  ptr: number;
  size: number;
}

const u32 = 2 ** 32 - 1;

/** The response's body: its length, -1 if it isn't in the guest's memory, and a copy if it isn't longer than most. */
export function bodyOf(host: Host, head: Uint8Array, most: number): { size: number; bytes: Uint8Array | undefined } {
  const d = new Decoder(head);
  d.varint();
  d.view();
  const body = view(host, d.number(u32), d.number(u32));
  if (!body) return { size: -1, bytes: undefined };
  return { size: body.length, bytes: body.length <= most ? body.slice() : undefined };
}

/**
 * The bodies of a fetch or of a group's: the length of each, -1 where one isn't in the guest's memory, and one after the other a copy
 * of those that aren't over the policy's limit: of none, if together they are more than may be held.
 */
export function bodiesOf(
  host: Host, encoding: Uint8Array, group: boolean, open: boolean, limits: { requestBytes: number; memory: number },
): { sizes: number[]; bytes: Uint8Array | undefined } {
  const found = placesOf(encoding, group, open).map(({ ptr, size }) => view(host, ptr, size));
  const sizes = found.map((body) => body?.length ?? -1);
  const held = found.filter((body) => body !== undefined && body.length <= limits.requestBytes);
  const total = held.reduce((n, body) => n + body!.length, 0);
  if (total === 0 || total > limits.memory) return { sizes, bytes: undefined };
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const body of held) {
    bytes.set(body!, at);
    at += body!.length;
  }
  return { sizes, bytes };
}

function placesOf(encoding: Uint8Array, group: boolean, open: boolean): Place[] {
  const d = new Decoder(encoding);
  if (!group) return [placeOf(d, open)];
  for (let i = 0; i < 4; i++) d.varint(); // mode, count, concurrency, timeout
  const n = d.number(65535);
  const places: Place[] = [];
  for (let i = 0; i < n && !d.bad; i++) places.push(placeOf(new Decoder(d.view()), open));
  return places;
}

function placeOf(d: Decoder, open: boolean): Place {
  const flags = open ? d.varint() : 0;
  for (let i = 0; i < 3; i++) d.view(); // method, URL, fields
  for (let i = 0; i < 4; i++) d.varint(); // timeout, attempt timeout, hedge, redirect
  d.view(); // expect
  if (d.bool()) {
    for (let i = 0; i < 3; i++) d.varint(); // attempts, back-off, maximum back-off
    for (let n = d.number(500); n > 0 && !d.bad; n--) d.varint();
  }
  const place = { ptr: d.number(u32), size: d.number(u32) };
  const streamed = (flags & 2) !== 0; // then the length is what was announced
  return d.bad || streamed ? { ptr: 0, size: 0 } : place;
}
