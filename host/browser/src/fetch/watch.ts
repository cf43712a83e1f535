import { stops, timer, type Scope } from "./scope.js";

/** Ends an exchange's scope when nothing moves for as long as its phase's idle limit. Limits are in ms. */
export class Watch {
  #limit = 0;
  #writing = false;
  #last = 0;
  #over = false;
  #disarm = () => {};

  constructor(readonly scope: Scope, readonly limits: { read: number; write: number }) {}

  /** Begins a phase, writing or reading, or its clock anew. */
  begin(writing: boolean): void {
    if (this.#over) return; // a body may still be asked for when its request is over
    this.#writing = writing;
    this.#limit = writing ? this.limits.write : this.limits.read;
    this.touch();
    this.#disarm();
    this.#arm(this.#limit);
  }

  /** Notes that something moved. */
  touch(): void {
    this.#last = performance.now();
  }

  /** Stops the clock: it isn't the upstream that is waited for. */
  pause(): void {
    this.#disarm();
  }

  /** Stops watching for good. */
  stop(): void {
    this.#over = true;
    this.#disarm();
  }

  #arm(ms: number): void {
    this.#disarm = timer(ms, () => {
      const left = this.#last + this.#limit - performance.now();
      if (left > 0) this.#arm(left);
      else this.scope.end(this.#writing ? stops.write(this.#limit) : stops.read(this.#limit));
    });
  }
}
