import { fail, type Fail } from "../policy/failure.js";
import { Scope, stops } from "./scope.js";
import type { Session } from "./session.js";
import { quote } from "./text.js";
import type { Call, Group, GroupCall, Outcome, State } from "./types.js";

/** Says why a group can't be run at all; undefined: it can. */
export function checkGroup(g: Group): Fail | undefined {
  if (!/^(all|all_settled|any|race|quorum)$/.test(g.mode)) {
    return fail("invalid_request", `unknown mode ${quote(String(g.mode))}; there are all, all_settled, any, race and quorum`);
  }
  const n = g.requests.length;
  if (g.mode === "quorum" && !(g.count >= 1 && g.count <= n)) return fail("invalid_request", `count is ${g.count}; of ${n} requests a quorum is 1 to ${n}`);
  return g.concurrency < 0 || g.timeoutMs < 0 ? fail("invalid_request", "concurrency and timeout can't be negative") : undefined;
}

/** A group that was started: members run in order, as many at once as it says, until its mode is decided. What is unfinished then is cancelled. */
export class GroupRun implements GroupCall {
  readonly #scope: Scope;
  readonly #refused: Fail | undefined;
  readonly #calls: (Call | undefined)[];
  readonly #claimed: boolean[]; // whose start, or cancelling before it, is under way or over
  #next = 0;
  #running = 0;
  #fulfilled = 0;
  #failed = 0;
  #reported = 0;
  #pumping = false;

  constructor(readonly session: Session, readonly group: Group, readonly each: (index: number, outcome: Outcome) => void, readonly done: () => void) {
    this.#refused = checkGroup(group);
    this.#calls = group.requests.map(() => undefined);
    this.#claimed = group.requests.map(() => false);
    this.#scope = new Scope(session.scope);
    if (group.timeoutMs > 0) this.#scope.endAfter(group.timeoutMs, stops.group(group.timeoutMs));
    if (group.requests.length === 0) this.#finish();
    else this.#pump();
  }

  cancel(): void {
    this.#scope.end(stops.guest);
  }

  cancelMember(index: number): void {
    if (this.#claimed[index]) {
      this.#calls[index]?.cancel();
      return;
    }
    this.#claimed[index] = true;
    this.#running++;
    // Not before this returns: the caller may not expect an outcome while it cancels.
    this.session.join();
    queueMicrotask(() => {
      this.#calls[index] = this.session.refuse(this.#scope, this.group.requests[index]!, this.#scope.cause ?? stops.guest, (outcome) => this.#settled(index, outcome));
      this.session.leave();
    });
  }

  state(index: number): State {
    return this.#calls[index]?.state() ?? "pending";
  }

  /** Starts members for as long as there is room. One may settle before its start returns, so who settles leaves the starting to a pump at work. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    const { concurrency, requests } = this.group;
    while (this.#next < requests.length && (!(concurrency > 0) || this.#running < concurrency || this.#refused || this.#scope.cause)) {
      const index = this.#next++;
      if (this.#claimed[index]) continue;
      this.#claimed[index] = true;
      this.#running++;
      const settled = (outcome: Outcome) => this.#settled(index, outcome);
      this.#calls[index] = this.#refused
        ? this.session.refuse(this.#scope, requests[index]!, this.#refused, settled)
        : this.session.startIn(this.#scope, requests[index]!, settled);
    }
    this.#pumping = false;
  }

  /** Counts a member's outcome, cancels the others if that decides, and tells. */
  #settled(index: number, outcome: Outcome): void {
    this.#running--;
    if (outcome.state === "fulfilled") this.#fulfilled++;
    else this.#failed++;
    if (this.#decided()) this.#scope.end(stops.mode);
    this.each(index, outcome);
    this.#pump();
    if (++this.#reported === this.group.requests.length) this.#finish();
  }

  /** Whether nothing that is still unfinished can matter. */
  #decided(): boolean {
    const { mode, count, requests } = this.group;
    switch (mode) {
      case "all": return this.#failed > 0;
      case "any": return this.#fulfilled > 0;
      case "race": return this.#fulfilled + this.#failed > 0;
      case "quorum": return this.#fulfilled >= count || this.#failed > requests.length - count;
      default: return false;
    }
  }

  #finish(): void {
    this.#scope.close();
    this.done();
  }
}
