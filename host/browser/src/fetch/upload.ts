import { fail, isFail, type Fail } from "../policy/failure.js";
import type { Scope } from "./scope.js";
import { bounded } from "./text.js";
import { maxQuoted } from "./params.js";
import type { Watch } from "./watch.js";

/** What an exchange has done with the body. */
interface Sender {
  begun: boolean; // nobody else can have it
  forgone: boolean; // it is another's
}

/**
 * A request's body that comes as a stream. It can be had once only, so nothing of it may have been read when its request is sent again.
 */
export class Upload {
  sent = 0; // bytes
  #sender?: Sender; // the last
  #reader?: ReadableStreamDefaultReader<Uint8Array>;
  #closed = false;

  /** limit is request_bytes; length what was announced, 0: unknown. */
  constructor(readonly source: ReadableStream<Uint8Array>, readonly limit: number, readonly length: number) {}

  /** Takes the body back from the exchange that has it, unless that has begun with it. */
  reclaim(): boolean {
    if (this.#sender && !this.#sender.begun) this.#sender.forgone = true;
    return this.untouched;
  }

  /** Whether reclaim would do. */
  get untouched(): boolean {
    return !this.#sender?.begun;
  }

  /** Ends reading, also one that waits. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void (this.#reader ?? this.source).cancel().catch(() => {}); // there is nobody left to tell
  }

  /** The body as one exchange's. What is wrong with it ends the scope; while it waits for its source, the upstream isn't the one that is slow. */
  send(scope: Scope, watch: Watch): ReadableStream<Uint8Array> {
    const state: Sender = { begun: false, forgone: false };
    this.#sender = state;
    scope.onEnd(() => {
      if (state.begun) this.close();
      else state.forgone = true;
    });
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        if (state.forgone || this.#closed) return controller.error(new Error("the body is no longer sent"));
        state.begun = true;
        watch.pause();
        const chunk = await this.#read();
        if (scope.cause) return controller.error(new Error(scope.cause.message));
        if (chunk && isFail(chunk)) {
          scope.end(chunk);
          return controller.error(new Error(chunk.message));
        }
        watch.begin(chunk !== undefined);
        if (chunk) controller.enqueue(chunk);
        else controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Reads all of it, where it can't be sent as a stream. */
  async collect(scope: Scope): Promise<Uint8Array | Fail> {
    this.#sender = { begun: true, forgone: false };
    const chunks: Uint8Array[] = [];
    for (;;) {
      const chunk = await scope.race(this.#read().then((value) => value ?? "end"));
      if (chunk === "end") break;
      if (isFail(chunk as object)) return chunk as Fail;
      chunks.push(chunk as Uint8Array);
    }
    const body = new Uint8Array(this.sent);
    let at = 0;
    for (const chunk of chunks) {
      body.set(chunk, at);
      at += chunk.length;
    }
    return body;
  }

  async #read(): Promise<Uint8Array | Fail | undefined> {
    this.#reader ??= this.source.getReader();
    let next: ReadableStreamReadResult<Uint8Array>;
    try {
      next = await this.#reader.read();
    } catch (err) {
      return fail("cancelled", `cancelled because the request's body failed: ${bounded(String((err as Error)?.message ?? err), maxQuoted)}`);
    }
    this.sent += next.value?.length ?? 0;
    if (this.sent > this.limit) return fail("request_too_large", `request_bytes is ${this.limit}; the request's body has at least ${this.sent}`);
    if (this.length > 0 && (this.sent > this.length || (next.done && this.sent < this.length))) {
      return fail("invalid_request", `the request's body was announced with ${this.length} bytes and has ${this.sent}`);
    }
    return next.done ? undefined : next.value;
  }
}
