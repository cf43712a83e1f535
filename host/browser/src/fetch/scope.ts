import { fail, type Fail } from "../policy/failure.js";
import { formatDuration } from "../manifest/units.js";

/** Why something of ours ends before its time: it tells one limit's expiry from another's, and both from being cancelled. */
export const stops = {
  pool: (ms: number): Fail => fail("pool_timeout", `no slot within pool_timeout, ${formatDuration(ms)}`),
  attempt: (ms: number): Fail => ({ ...fail("timeout", `the attempt wasn't over within attempt_timeout, ${formatDuration(ms)}`), again: true }),
  whole: (ms: number): Fail => fail("timeout", `the fetch wasn't over within its timeout, ${formatDuration(ms)}`),
  group: (ms: number): Fail => fail("timeout", `the group wasn't over within its timeout, ${formatDuration(ms)}`),
  write: (ms: number): Fail => fail("write_timeout", `no byte could be sent for write_timeout, ${formatDuration(ms)}`),
  read: (ms: number): Fail => fail("read_timeout", `no byte arrived for read_timeout, ${formatDuration(ms)}`),
  guest: fail("cancelled", "cancelled by the caller"),
  mode: fail("cancelled", "cancelled because its group is decided"),
  session: fail("cancelled", "cancelled because the invocation is over"),
  hedge: fail("cancelled", "cancelled because the other attempt was faster"),
};

/** A stretch of work that can be ended, with everything inside it. The first cause counts. Who makes one closes it. */
export class Scope {
  cause?: Fail; // undefined: it hasn't been ended
  deadline = Infinity; // when it ends at the latest, as performance.now tells time
  readonly #hooks = new Set<(cause: Fail) => void>();
  readonly #leave: (() => void)[] = []; // its parents and timers

  constructor(...parents: Scope[]) {
    for (const parent of parents) this.join(parent);
  }

  /** Ends with a parent, too; until the function that it returns is called. */
  join(parent: Scope): () => void {
    this.deadline = Math.min(this.deadline, parent.deadline);
    const leave = parent.onEnd((cause) => this.end(cause));
    this.#leave.push(leave);
    return leave;
  }

  /** Ends after a time, unless it is closed before. */
  endAfter(ms: number, cause: Fail): void {
    this.deadline = Math.min(this.deadline, performance.now() + ms);
    this.#leave.push(timer(ms, () => this.end(cause)));
  }

  end(cause: Fail): void {
    if (this.cause) return;
    this.cause = cause;
    const hooks = [...this.#hooks];
    this.close();
    for (const hook of hooks) hook(cause);
  }

  /** Calls back once it ends, maybe now; until the function that it returns is called. */
  onEnd(hook: (cause: Fail) => void): () => void {
    if (this.cause) hook(this.cause);
    else this.#hooks.add(hook);
    return () => this.#hooks.delete(hook);
  }

  /** Lets go of parents, timers and hooks. */
  close(): void {
    for (const leave of this.#leave.splice(0)) leave();
    this.#hooks.clear();
  }

  /** What a promise gives, or the cause if the scope ends before. dropped is given what comes too late. */
  race<T>(promise: Promise<T>, dropped?: (value: T) => void): Promise<T | Fail> {
    return new Promise((resolve, reject) => {
      let over = false;
      const unhook = this.onEnd((cause) => {
        over = true;
        resolve(cause);
      });
      promise.then((value) => {
        unhook();
        if (over) dropped?.(value);
        resolve(value);
      }, (err) => {
        unhook();
        reject(err);
      });
    });
  }

  /** Waits, unless the scope ends before. */
  async wait(ms: number): Promise<void> {
    let stop = () => {};
    await this.race(new Promise<void>((resolve) => (stop = timer(ms, resolve))));
    stop();
  }
}

const maxTimer = 2 ** 31 - 1; // what setTimeout takes; more would be none

/** Calls back after a time of any length; until the function that it returns is called. */
export function timer(ms: number, f: () => void): () => void {
  let id: ReturnType<typeof setTimeout>;
  const arm = (left: number) => {
    id = setTimeout(() => (left > maxTimer ? arm(left - maxTimer) : f()), Math.min(left, maxTimer));
  };
  arm(ms);
  return () => clearTimeout(id);
}
