import { Slots } from "./slots.js";

const slice = 1000, slices = 10; // ms, and how many of them make the window in which retries are held against requests
const ratio = 0.2, minimum = 100; // of the requests, and beside them, may be retried
const half = 30_000; // ms; answers are forgotten after one to two of these
const leastSamples = 20; // fewer don't make a percentile

/** What a client knows of one origin. It holds the default retry budget of the server, so that a failing upstream isn't hammered. */
export class OriginState {
  readonly slots: Slots;
  readonly #sent = new Map<number, { requests: number; retries: number }>(); // by slice
  #answers: [recent: number[], older: number[]] = [[], []]; // ms until the head
  #begun = 0;

  constructor(perOrigin: number) {
    this.slots = new Slots(perOrigin);
  }

  requested(): void {
    this.#slice().requests++;
  }

  /** Takes one more attempt from the budget for them. */
  mayRetry(): boolean {
    const now = this.#slice();
    let requests = 0, retries = 1;
    for (const sent of this.#sent.values()) {
      requests += sent.requests;
      retries += sent.retries;
    }
    if (retries > ratio * requests + minimum) return false;
    now.retries++;
    return true;
  }

  answered(ms: number): void {
    this.#turn();
    if (this.#answers[0].length < 1000) this.#answers[0].push(ms);
  }

  /** The 95th percentile of what answers took, in ms; 0: too few were seen. */
  p95(): number {
    this.#turn();
    const all = this.#answers.flat().sort((a, b) => a - b);
    return all.length < leastSamples ? 0 : all[Math.ceil(0.95 * all.length) - 1]!;
  }

  /** Whether nothing would be lost if it were forgotten. */
  get idle(): boolean {
    this.#slice();
    return this.slots.idle && [...this.#sent.values()].every(({ retries }) => retries === 0); // else as many again would be allowed
  }

  /** The current slice; those that are out of the window go. */
  #slice(): { requests: number; retries: number } {
    const number = Math.floor(performance.now() / slice);
    for (const at of this.#sent.keys()) if (at <= number - slices) this.#sent.delete(at);
    const now = this.#sent.get(number) ?? { requests: 0, retries: 0 };
    this.#sent.set(number, now);
    return now;
  }

  #turn(): void {
    const now = performance.now(), age = now - this.#begun;
    if (age < half) return;
    this.#answers = [[], age < 2 * half ? this.#answers[0] : []];
    this.#begun = now;
  }
}
