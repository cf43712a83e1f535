import { streamSize } from "./limits.js";

/** What the guest's side answers besides bytes. */
export const again = "again"; // nothing can be moved now; told is called when that changes
export const closed = "closed"; // nobody takes what is written any more

/** Bytes up to which parts are joined. */
const joined = 2 << 10;

/** The clean end of a stream. */
export const eof = Symbol("eof");

/** Why a stream ends after its last byte: cleanly, or by an error that is kept as it came. */
export type Ending = typeof eof | { error: unknown };

/**
 * Holds the bytes of a stream between a guest and the host. The guest's side never waits: it is told when to try again. The host's
 * side does wait. See host/internal/guest/queue.go.
 */
export class Queue {
  /** Called when the guest, having had `again`, may try again. */
  told: () => void = () => {};
  /** Lets go of what fills the queue, when the guest stops it. */
  release: (why: unknown) => void = () => {};

  private parts: Uint8Array[] = [];
  private size = 0;
  private ending: Ending | undefined;
  private shut = false; // the bytes have no use any more
  private tried = false; // the guest's last try gave `again`
  private parked = false; // and it hasn't been told since
  private rouse: (() => void) | undefined;

  // --- the guest's side

  /** Up to n bytes; or `again`, or the end. parked is called if the guest begins to wait. */
  take(n: number, parked: () => void): Uint8Array | typeof again | Ending {
    this.tried = false;
    if (n === 0 && (this.size > 0 || !this.ending)) return new Uint8Array();
    if (this.size > 0) {
      const out = this.shift(n);
      this.wake();
      return out;
    }
    if (this.ending) return this.ending;
    this.park(parked);
    return again;
  }

  /** Takes over what there is room for, and answers how many bytes; they are copied. */
  put(from: Uint8Array, parked: () => void): number | typeof again | typeof closed {
    this.tried = false;
    if (this.shut || this.ending) return closed;
    const n = Math.min(from.length, streamSize - this.size);
    if (n > 0) {
      this.push(from.slice(0, n));
      this.wake();
    }
    if (n > 0 || from.length === 0) return n;
    this.park(parked);
    return again;
  }

  private park(parked: () => void): void {
    if (!this.parked) parked();
    this.tried = this.parked = true;
  }

  /** For a guest that has given up waiting; tells whether it was. */
  unpark(): boolean {
    const before = this.parked;
    this.tried = this.parked = false;
    return before;
  }

  /** Whether what the guest writes is taken at all. */
  taking(): boolean {
    return !this.shut && !this.ending;
  }

  /** Whether the guest's last try gave `again`, and whether another would give something else. */
  waits(writing: boolean): { again: boolean; could: boolean } {
    const could = writing ? this.size < streamSize || !this.taking() : this.size > 0 || this.ending !== undefined;
    return { again: this.tried, could };
  }

  /** Why reading has failed, once all that came before has been read. */
  failure(): { error: unknown } | undefined {
    return this.size > 0 || this.ending === eof ? undefined : this.ending;
  }

  // --- the host's side

  /** Moves all of a stream to the guest; returns when it has ended or nobody wants it any more. */
  async fill(from: ReadableStream<Uint8Array>): Promise<void> {
    const reader = from.getReader();
    this.release = (why) => void reader.cancel(why).catch(() => {});
    try {
      for (;;) {
        while (this.size >= streamSize && !this.shut) await this.asleep();
        if (this.shut) return;
        const { done, value } = await reader.read();
        if (this.shut) return;
        if (done) {
          this.end(eof);
          return;
        }
        if (value.length === 0) continue;
        this.push(value);
        this.moved();
      }
    } catch (error) {
      this.end({ error });
    } finally {
      reader.releaseLock();
    }
  }

  /** Waits for the next bytes that the guest writes; undefined at a clean end. Throws why there are none. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.size === 0 && !this.ending && !this.shut) await this.asleep();
    if (this.size > 0) {
      const out = this.shift(streamSize);
      this.moved();
      return out;
    }
    if (this.ending === eof) return undefined;
    throw this.ending ? this.ending.error : new Error("nobody takes the stream any more");
  }

  /** The queue as the stream that a fetch sends or a client reads. over is called when nothing more is read from it: gone, if its reader has given up. A clean end waits for it. */
  stream(over: (gone: boolean) => unknown = () => {}): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const part = await this.next();
            if (part) return controller.enqueue(part);
            await over(false);
            controller.close();
          } catch (e) {
            controller.error(e);
            over(false);
          }
        },
        cancel: () => {
          this.fail();
          over(true);
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Says what comes after what was put in. */
  end(ending: Ending): void {
    if (!this.ending && !this.shut) this.ending = ending;
    this.moved();
  }

  /** Says that nobody has a use for the bytes any more. What the guest reads from now on is the error, unless it has come to the end already. */
  fail(ending?: Ending): void {
    if (!this.shut) {
      this.shut = true;
      if (!this.ending || (this.size > 0 && ending)) this.ending = ending;
      this.parts = [];
      this.size = 0;
    }
    this.moved();
  }

  /** Adds a part. Small ones are joined, so that a stream that comes byte by byte costs little more than its bytes. */
  private push(part: Uint8Array): void {
    this.size += part.length;
    const last = this.parts.at(-1);
    if (!last || last.length + part.length > joined) {
      this.parts.push(part);
      return;
    }
    const both = new Uint8Array(last.length + part.length);
    both.set(last);
    both.set(part, last.length);
    this.parts[this.parts.length - 1] = both;
  }

  private moved(): void {
    const tell = this.parked;
    this.parked = false;
    this.wake();
    if (tell) this.told();
  }

  private asleep(): Promise<void> {
    return new Promise((rouse) => (this.rouse = rouse));
  }

  private wake(): void {
    this.rouse?.();
    this.rouse = undefined;
  }

  /** The next up to n bytes: a part as it came where that will do. */
  private shift(n: number): Uint8Array {
    const first = this.parts[0]!;
    n = Math.min(n, this.size);
    if (first.length >= n) {
      if (first.length === n) this.parts.shift();
      else this.parts[0] = first.subarray(n);
      this.size -= n;
      return first.subarray(0, n);
    }
    const out = new Uint8Array(n);
    for (let at = 0; at < n; ) {
      const part = this.parts[0]!;
      const take = Math.min(part.length, n - at);
      out.set(part.subarray(0, take), at);
      at += take;
      if (take === part.length) this.parts.shift();
      else this.parts[0] = part.subarray(take);
    }
    this.size -= n;
    return out;
  }
}
