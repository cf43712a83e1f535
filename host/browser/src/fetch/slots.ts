import type { Fail } from "../policy/failure.js";
import type { Scope } from "./scope.js";

/** A counted limit with a queue: whoever came first gets the next free slot. One that is given back passes to the first waiter directly. */
export class Slots {
  used = 0;
  readonly #queue = new Set<() => void>();

  constructor(readonly limit: number) {}

  get idle(): boolean {
    return this.used === 0 && this.#queue.size === 0;
  }

  /** Waits for a slot until the scope ends, and then gives its cause. */
  async acquire(scope: Scope): Promise<Fail | undefined> {
    if (this.used < this.limit && this.#queue.size === 0) {
      this.used++;
      return undefined;
    }
    let granted = () => {};
    const slot = new Promise<void>((resolve) => (granted = resolve));
    this.#queue.add(granted);
    const cause = await scope.race(slot);
    if (!cause) return undefined;
    if (!this.#queue.delete(granted)) this.release(); // it was granted at the same moment: to the next
    return cause;
  }

  release(): void {
    const [next] = this.#queue;
    if (next) {
      this.#queue.delete(next);
      next();
      return;
    }
    if (this.used === 0) throw new Error("fetch: a slot was given back twice");
    this.used--;
  }
}

/** Takes a slot of each, in this order, or none; gives the cause, or what gives them back. The scarcest comes last. */
export async function acquireAll(all: Slots[], scope: Scope): Promise<Fail | (() => void)> {
  const held: Slots[] = [];
  const release = () => {
    for (const slots of held.splice(0).reverse()) slots.release();
  };
  for (const slots of all) {
    const cause = await slots.acquire(scope);
    if (cause) {
      release();
      return cause;
    }
    held.push(slots);
  }
  return release;
}
