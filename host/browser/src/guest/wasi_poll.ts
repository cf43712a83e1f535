import { Exit, then, view } from "./host.js";
import type { Host, Soon } from "./host.js";
import { deadlock } from "./protocol.js";
import { eBadf, eFault, eInval, eventsFD, success } from "./wasi_errno.js";
import { maxSubscriptions } from "./limits.js";

/**
 * Layout of poll_oneoff's arrays, in bytes: a subscription is userdata u64, type u8 at 8, and from 16 either a clock (id u32, timeout
 * u64 at 24, precision u64, flags u16 at 40) or a descriptor u32. An event is userdata u64, error u16 at 8, type u8 at 10, then from
 * 16 bytes u64 and flags u16.
 */
const subscriptionSize = 48;
const eventSize = 32;
const eventClock = 0;
const eventRead = 1;
const eventWrite = 2;
const flagAbstime = 1;

const ns = (ms: number): bigint => BigInt(Math.round(ms * 1e6));

/** Reads a clock in nanoseconds; undefined if there is none such. The CPU clocks give monotonic time: what a guest has used is not its own to know. */
export function now(id: number): bigint | undefined {
  if (id === 0) return BigInt(Date.now()) * 1_000_000n;
  return id <= 3 ? ns(performance.now()) : undefined;
}

interface Event {
  userdata: bigint;
  errno: number;
  kind: number;
}

/** What one poll_oneoff asks for. */
interface Wanted {
  events: Event[]; // there at once
  clocks: { userdata: bigint; due: number }[]; // ms on performance.now()
  read: bigint | undefined; // userdata of the subscription to the event descriptor
}

/**
 * It returns when a clock runs out, when a handle has settled that the event descriptor hasn't told yet, or at once for anything that
 * is always ready. The end of the invocation ends the guest inside it.
 */
export function pollOneoff(host: Host, subscriptions: number, events: number, n: number, count: number): Soon<number> {
  if (n === 0 || n > maxSubscriptions) return eInval;
  const from = view(host, subscriptions, n * subscriptionSize);
  if (!from || !view(host, events, n * eventSize) || !view(host, count, 4)) return eFault;
  const wanted = read(new DataView(from.buffer, from.byteOffset, from.length));
  const give = (): number => {
    const all = wanted.events;
    const out = new DataView(host.memory()!);
    all.forEach((e, i) => {
      const at = events + i * eventSize;
      new Uint8Array(out.buffer, at, eventSize).fill(0);
      out.setBigUint64(at, e.userdata, true);
      out.setUint16(at + 8, e.errno, true);
      out.setUint8(at + 10, e.kind);
    });
    out.setUint32(count, all.length, true);
    return success;
  };
  return then(wait(host, wanted), give);
}

function read(in_: DataView): Wanted {
  const w: Wanted = { events: [], clocks: [], read: undefined };
  for (let at = 0; at < in_.byteLength; at += subscriptionSize) {
    const userdata = in_.getBigUint64(at, true);
    const kind = in_.getUint8(at + 8);
    const fd = in_.getUint32(at + 16, true);
    if (kind === eventClock) {
      clock(w, userdata, in_, at);
    } else if (kind === eventRead && fd === eventsFD) {
      w.read = userdata;
    } else if (kind === eventRead || kind === eventWrite) {
      const there = kind === eventRead ? fd === 0 : fd === 1 || fd === 2;
      w.events.push({ userdata, errno: there ? success : eBadf, kind });
    } else {
      w.events.push({ userdata, errno: eInval, kind });
    }
  }
  return w;
}

function clock(w: Wanted, userdata: bigint, in_: DataView, at: number): void {
  const t = now(in_.getUint32(at + 16, true));
  if (t === undefined) {
    w.events.push({ userdata, errno: eInval, kind: eventClock });
    return;
  }
  let timeout = in_.getBigUint64(at + 24, true);
  if (in_.getUint16(at + 40, true) & flagAbstime) timeout = timeout > t ? timeout - t : 0n;
  w.clocks.push({ userdata, due: performance.now() + Number(timeout) / 1e6 });
}

/** Returns when there is an event to report. */
function wait(host: Host, w: Wanted): Soon<void> {
  const first = w.clocks.reduce((least, c) => Math.min(least, c.due), Infinity);
  const timeout = w.events.length > 0 ? 0 : first === Infinity ? -1 : Math.max(first - performance.now(), 0);
  if (timeout === 0 && w.read === undefined) return ring(w);
  return then(host.ask("poll", [w.read === undefined ? 0 : 1, timeout]), ({ result }) => {
    if (result === deadlock) {
      host.fail("every thread of the plugin waits, and nothing is in flight that could wake one");
      throw new Exit(deadlock);
    }
    if (result === 1) w.events.push({ userdata: w.read!, errno: success, kind: eventRead });
    ring(w);
    // A timer of the page's may end a moment early.
    return w.events.length > 0 ? undefined : wait(host, w);
  });
}

/** Reports the clocks that have run out. */
function ring(w: Wanted): void {
  const at = performance.now();
  for (const c of w.clocks) if (c.due <= at) w.events.push({ userdata: c.userdata, errno: success, kind: eventClock });
}
