import { isFail, type Fail } from "../policy/failure.js";
import type { ResponseBody } from "./body.js";
import type { Exchange } from "./exchange.js";
import { stops } from "./scope.js";
import { FetchError } from "./types.js";

/**
 * The body of a response that the caller reads as it arrives. It holds its fetch's slots until its end: the last byte, a failure, its
 * cancelling, or the end of its fetch's time or session, whichever comes first. Nothing is read before it is asked for.
 */
export class BodyStream {
  readonly readable: ReadableStream<Uint8Array>;
  release = () => {}; // gives the slots back
  #over = false;
  #unhook = () => {};
  #controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor(readonly exchange: Exchange, readonly body: ResponseBody) {
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: async (controller) => {
        exchange.watch.begin(false);
        const piece = await body.read();
        if (this.#over) return;
        exchange.watch.pause();
        if (!piece) {
          this.#end();
          controller.close();
        } else if (isFail(piece)) this.#fail(piece);
        else controller.enqueue(piece);
      },
      cancel: () => this.#end(),
    }, { highWaterMark: 0 });
  }

  /** Lets it outlive the run of its fetch. From now on it ends by itself, or with its fetch. */
  adopt(): void {
    this.#unhook = this.exchange.scope.onEnd((cause) => this.#fail(cause));
  }

  /** Gives up a stream that nobody has adopted. */
  abandon(): void {
    this.#over = true;
    this.body.cancel();
    this.exchange.end(stops.hedge, this.body.total);
    this.release();
  }

  #fail(cause: Fail): void {
    if (this.#over) return;
    this.#end(cause);
    this.#controller.error(new FetchError(this.exchange.flight.failure(this.exchange.hop, cause)));
  }

  /** Gives everything back. */
  #end(cause?: Fail): void {
    if (this.#over) return;
    this.#over = true;
    const { flight } = this.exchange;
    this.#unhook();
    this.body.cancel();
    this.exchange.end(cause, this.body.total);
    this.release();
    flight.entry.streamed(cause && flight.said(cause), this.body.total);
    flight.finish();
    flight.session.leave();
  }
}
