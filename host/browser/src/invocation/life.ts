/** Why an invocation ends before its guest has answered: a limit, or somebody's wish. */
export type Cut = "wall" | "stream" | "cpu" | "gone" | "closed";

/** How long an invocation may last: until its wall limit, or once its response has begun, until its stream limit. */
export class Life {
  cut: Cut | undefined; // the first counts
  until: number; // ms on performance.now()
  private timer: ReturnType<typeof setTimeout>;
  private readonly controller = new AbortController();

  constructor(
    arrived: number,
    wall: number,
    private readonly stream: number,
  ) {
    this.until = arrived + wall;
    this.timer = setTimeout(() => this.end("wall"), Math.max(this.until - performance.now(), 0));
  }

  /** Aborts when the life is cut short. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  end(cut: Cut): void {
    this.cut ??= cut;
    clearTimeout(this.timer);
    this.controller.abort();
  }

  /** Goes over from the wall limit to the stream limit. */
  begun(): void {
    if (this.cut) return;
    clearTimeout(this.timer);
    this.until = performance.now() + this.stream;
    this.timer = setTimeout(() => this.end("stream"), this.stream);
  }

  /** The guest has ended: only its reader is waited for, which keeps no process alive. */
  rest(): void {
    (this.timer as { unref?: () => void }).unref?.();
  }

  /** It is over: nothing ends it any more. */
  over(): void {
    clearTimeout(this.timer);
  }
}
