/** The worker's end of the links to the page. */
import type { Answer } from "./call.js";
import type { Link } from "./runner.js";
import { answered, sharedHeader, stopped } from "./protocol.js";
import type { Answered, Called, FromWorker, Logged, More } from "./protocol.js";

export type Post = (message: FromWorker, transfer: ArrayBuffer[]) => void;

/** The bytes of a call are its own: they move instead of being copied. */
function send(post: Post, called: Called): void {
  const transfer = [called.bytes, called.more].filter((b) => b && b.byteLength === b.buffer.byteLength && b.byteLength > 0);
  post(called, transfer.map((b) => b!.buffer as ArrayBuffer));
}

/** By messages, while the guest is suspended. */
export class JSPILink implements Link {
  readonly suspends = true;
  private pending: ((answer: Answer | undefined) => void) | undefined;

  constructor(private readonly post: Post) {}

  ask(called: Called): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      this.pending = resolve;
      send(this.post, called);
    });
  }

  log(line: Logged): void {
    this.post(line, []);
  }

  /** The page has answered. */
  answer({ answer }: Answered): void {
    this.pending?.(answer);
  }
}

/** Through shared memory, while the worker is blocked. A long answer comes in parts. */
export class AtomicsLink implements Link {
  readonly suspends = false;
  private readonly words: Int32Array;
  private readonly data: Uint8Array;

  constructor(
    private readonly post: Post,
    shared: SharedArrayBuffer,
  ) {
    this.words = new Int32Array(shared, 0, sharedHeader / 4);
    this.data = new Uint8Array(shared, sharedHeader);
  }

  ask(called: Called): Answer | undefined {
    send(this.post, called);
    let bytes: Uint8Array | undefined;
    for (let at = 0; ; ) {
      Atomics.wait(this.words, 0, 0);
      const [state, result, length, whole] = this.words as unknown as [number, number, number, number];
      Atomics.store(this.words, 0, 0);
      if (state === stopped) return undefined;
      if (state !== answered) continue;
      if (whole > 0) bytes ??= new Uint8Array(whole);
      bytes?.set(this.data.subarray(0, length), at);
      at += length;
      if (at >= whole) return { result, bytes };
      const more: More = { kind: "more" };
      this.post(more, []);
    }
  }

  log(line: Logged): void {
    this.post(line, []);
  }
}
