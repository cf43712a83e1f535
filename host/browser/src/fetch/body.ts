import { fail, isFail, type Fail } from "../policy/failure.js";
import type { Exchange } from "./exchange.js";
import { failed } from "./failed.js";
import { maxCodings, maxDiscard, maxDiscardTime } from "./params.js";
import { timer } from "./scope.js";

/** The codings of a body, for messages, if the platform undoes them all; "" if there are none or one of them it doesn't know. */
export function codingsOf(header: string | null, known: string[]): string | Fail {
  const names = (header ?? "").split(",").map((name) => name.trim().toLowerCase()).filter((name) => name !== "" && name !== "identity");
  if (!names.every((name) => known.includes(name))) return "";
  return names.length > maxCodings ? fail("decode_error", `the body has more than ${maxCodings} codings`) : names.join(", ");
}

/** Whether what a response describes isn't in it. */
export function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** A response's body on its way to the caller: decoded, counted and charged. */
export class ResponseBody {
  total = 0; // decoded bytes so far
  readonly #reader?: ReadableStreamDefaultReader<Uint8Array>;

  /** length is that of the encoded body; -1: it isn't encoded, or not known. */
  constructor(readonly exchange: Exchange, response: Response, readonly coding: string, readonly length: number) {
    this.#reader = response.body?.getReader();
  }

  /** The next piece; undefined: that was all. */
  async read(): Promise<Uint8Array | Fail | undefined> {
    const { scope, flight, watch } = this.exchange;
    if (!this.#reader) return scope.cause;
    let next: ReadableStreamReadResult<Uint8Array> | Fail;
    try {
      next = await scope.race(this.#reader.read());
    } catch (err) {
      return scope.cause ?? failed(flight.client.platform, err, "body", this.coding);
    }
    if (isFail(next)) return next;
    watch.touch();
    if (next.done) return scope.cause; // an end that comes now may be what the server made of ours
    this.total += next.value.length;
    this.exchange.received = this.length >= 0 ? this.length : this.total;
    const most = flight.client.limits.response_bytes;
    if (this.total > most) return fail("response_too_large", `response_bytes is ${most}; the response's body has at least ${this.total}`);
    return flight.session.budget.takeBytes(next.value.length) ?? next.value;
  }

  async readAll(): Promise<Uint8Array | Fail> {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const piece = await this.read();
      if (!piece) break;
      if (isFail(piece)) {
        this.cancel();
        return piece;
      }
      pieces.push(piece);
    }
    if (pieces.length === 1) return pieces[0]!;
    const all = new Uint8Array(this.total);
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  cancel(): void {
    void this.#reader?.cancel().catch(() => {}); // it has failed already
  }
}

/** Reads the rest of a short body that nobody wants, so that its connection can be used again, unless that takes long. It isn't charged. */
export async function discard(exchange: Exchange, response: Response): Promise<void> {
  const reader = response.body?.getReader();
  if (!reader) return;
  const length = Number(response.headers.get("content-length") ?? Infinity);
  let late = !(length <= maxDiscard), stop = () => {};
  const over = new Promise<void>((resolve) => (stop = timer(maxDiscardTime, () => {
    late = true;
    resolve();
  })));
  try {
    for (let left = maxDiscard; !late && left >= 0 && !exchange.scope.cause; ) {
      const next = await exchange.scope.race(Promise.race([reader.read(), over]));
      if (!next || isFail(next)) break;
      if (next.done) return;
      left -= next.value.length;
    }
    void reader.cancel().catch(() => {});
  } catch {
    // It broke, and nobody wanted it.
  } finally {
    stop();
  }
}
