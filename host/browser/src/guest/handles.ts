import { FetchError } from "../fetch/types.js";
import type { FetchFailure, FetchRequest, FetchResponse, Group, Outcome, Session } from "../fetch/types.js";
import { eof, Queue } from "./queue.js";
import { bytesOf, textOf } from "./wire.js";
import { lastHandle, maxErrorURL, maxHandles } from "./limits.js";

const cancelled: FetchFailure = { code: "cancelled", message: "cancelled by the plugin", url: "", attempts: 0, retryable: false };

/** The response that a fetch came to, an `http_status` rejection's too. */
export function received(outcome: Outcome): FetchResponse | undefined {
  return outcome.state === "fulfilled" ? outcome.response : outcome.error.response;
}

/** One fetch or group of an invocation, or one of the invocation's own bodies. */
export class Handle {
  outcome: Outcome | undefined; // of a fetch that has settled
  settled = false;
  cancel: (() => void) | undefined;
  members = 0; // of a group
  held = 0; // bytes that it holds until it has settled
  kind: "fetch" | "request" | "response" = "fetch";
  up: Queue | undefined; // what the guest writes
  down: Queue | undefined; // and reads
  told = false; // it is among the events already
  seen = false; // the guest has looked at what became of it
  quiet = false; // of a member: that it settles is no event
  settles: number[] = []; // of a group: its members' indexes, in the order in which they settled
  given = 0; // how many outcomes the guest was given
  head: Uint8Array | undefined; // encoded, kept between a guest's two calls for it
  read = 0; // how much of the whole body the guest has taken

  /** Whether it has settled, or if the guest's last try at a stream was in vain, whether that would go on now. */
  ready(): boolean {
    const down = this.down?.waits(false);
    const up = this.up?.waits(true);
    const waiting = down?.again || up?.again;
    const can = (down?.again && down.could) || (up?.again && up.could);
    return !!can || (this.settled && (!waiting || (!this.seen && this.kind === "fetch")));
  }

  /** The next up to n bytes of a settled fetch's whole body. */
  take(n: number): Uint8Array {
    const body = (this.outcome && received(this.outcome)?.body) ?? new Uint8Array();
    const part = body.subarray(this.read, this.read + n);
    this.read += part.length;
    return part;
  }
}

/** The handles of one invocation; see host/internal/guest/handles.go. */
export class Handles {
  private readonly open = new Map<number, Handle>();
  private last = 0;
  private events: number[] = []; // settled, or can move again, since the event descriptor was read last
  private flying = 0; // handles that haven't settled
  private parked = 0; // streams that the guest waits for
  private held = 0; // bytes of bodies of what hasn't settled
  private waited = false; // wait may look at handles that are quiet
  private closed = false;
  private waiter: (() => void) | undefined;
  private unwait: (() => void) | undefined;

  /** The handle of the request's body; 0: it has none. */
  inbound = 0;

  get(id: number): Handle | undefined {
    return this.open.get(id);
  }

  /** Whether n bytes of bodies more may be held. */
  fits(n: number, limit: number): boolean {
    return this.held + n <= limit;
  }

  private has(n: number): boolean {
    return this.open.size + n <= maxHandles && this.last + n <= lastHandle;
  }

  /** Starts a fetch that holds so many bytes; 0 when too many handles are open. */
  send(session: Session, request: FetchRequest, upload: Queue | undefined, held: number): number {
    const id = this.add(new Handle());
    const handle = this.open.get(id);
    if (!handle) return 0;
    this.held += handle.held = held;
    this.upload(id, handle, upload);
    this.flying++;
    const call = session.start(request, (outcome) => this.settle(id, handle, outcome));
    if (!handle.settled) handle.cancel = () => call.cancel();
    return id;
  }

  /** Starts a group that holds so many bytes; its members have the handles after its own. */
  group(session: Session, group: Group, uploads: (Queue | undefined)[], held: number): number {
    const n = group.requests.length;
    if (!this.has(n + 1)) return 0;
    const of = new Handle();
    const id = this.add(of);
    of.members = n;
    this.held += of.held = held;
    const members = uploads.map((upload) => {
      const member = new Handle();
      this.upload(this.add(member), member, upload);
      return member;
    });
    this.flying += n + 1;
    const call = session.startGroup(
      group,
      (i, outcome) => {
        of.settles.push(i);
        this.settle(id + 1 + i, members[i]!, outcome);
      },
      () => this.settle(id, of),
    );
    if (!of.settled) of.cancel = () => call.cancel();
    members.forEach((member, i) => {
      if (!member.settled) member.cancel = () => call.cancelMember(i);
    });
    return id;
  }

  /** Enlists a handle; 0 when too many are open. */
  add(handle: Handle): number {
    if (!this.has(1)) return 0;
    this.open.set(++this.last, handle);
    return this.last;
  }

  private upload(id: number, handle: Handle, queue: Queue | undefined): void {
    handle.up = queue;
    if (queue) queue.told = () => this.tell(id);
  }

  private settle(id: number, handle: Handle, outcome?: Outcome): void {
    this.flying--;
    this.held -= handle.held;
    handle.held = 0;
    handle.settled = true;
    handle.cancel = undefined;
    const open = this.open.get(id) === handle;
    const body = outcome && received(outcome)?.stream;
    if (open && outcome) {
      if (outcome.state !== "fulfilled") outcome.error.url = textOf(bytesOf(outcome.error.url).slice(0, maxErrorURL)); // a slice would keep all of it
      handle.outcome = outcome;
    }
    if (open && !handle.quiet) this.event(id, handle);
    if (body && open && !this.closed) {
      handle.down = new Queue();
      handle.down.told = () => this.tell(id);
      void handle.down.fill(body);
    } else if (body) {
      void body.cancel().catch(() => {});
    }
    if (!handle.quiet || this.waited) this.signal();
  }

  /**
   * Makes it no event that a group's members settle: the group's own settling tells. One that has settled meanwhile, while the call was
   * under way, isn't told either. False if there is no such group.
   */
  quiet(id: number): boolean {
    const group = this.open.get(id);
    if (!group?.members) return false;
    const hushed = new Set<number>();
    for (let i = 1; i <= group.members; i++) {
      const member = this.open.get(id + i);
      if (!member) continue;
      member.quiet = true;
      if (!member.told || member.up || member.down) continue; // a stream's event is another's
      member.told = false;
      hushed.add(id + i);
    }
    if (hushed.size > 0) this.events = this.events.filter((event) => !hushed.has(event));
    return true;
  }

  /** Gives take what became of a settled fetch, or of a group's members in the order in which they settled, as far as they haven't been given yet, until that returns false. */
  outcomes(id: number, take: (index: number, outcome: Outcome) => boolean): "unknown" | "unsettled" | "given" {
    const handle = this.open.get(id);
    if (!handle || handle.kind !== "fetch") return "unknown";
    if (!handle.settled) return "unsettled";
    if (!handle.members) {
      if (handle.given === 0 && take(0, handle.outcome!)) {
        handle.given = 1;
        handle.seen = true;
      }
      return "given";
    }
    for (; handle.given < handle.settles.length; handle.given++) {
      const index = handle.settles[handle.given]!;
      const member = this.open.get(id + 1 + index);
      if (!member) continue;
      if (!take(index, member.outcome!)) break;
      member.seen = true;
    }
    return "given";
  }

  private event(id: number, handle: Handle): void {
    if (handle.told) return;
    handle.told = true;
    // A guest may never read them, and drop what they tell of.
    if (this.events.length > 2 * maxHandles) this.events = this.events.filter((event) => this.open.has(event));
    this.events.push(id);
  }

  /** A queue's: the guest may go on with a stream. */
  tell(id: number): void {
    this.parked--;
    const handle = this.open.get(id);
    if (handle) this.event(id, handle);
    this.signal();
  }

  /** Counts a stream that the guest waits for: while there are any, it isn't asleep for ever. */
  readonly park = (): void => void this.parked++;

  private signal(): void {
    this.waiter?.();
  }

  /**
   * Waits until check answers something, looking again whenever something has moved, or until the time (ms, below 0: none) is over or
   * stop is called: then undefined.
   */
  async wait<T>(check: () => T | undefined, timeout: number): Promise<T | undefined> {
    const found = check();
    if (found !== undefined || timeout === 0) return found;
    return new Promise<T | undefined>((resolve) => {
      const done = (v: T | undefined) => {
        clearTimeout(timer);
        this.waiter = this.unwait = undefined;
        resolve(v);
      };
      // A timer can't be longer than 2^31 ms; no invocation is.
      const timer = timeout > 0 && timeout < 2 ** 31 ? setTimeout(() => done(check()), timeout) : undefined;
      let looking = false;
      // Once for all that moves at the same time: a guest may wait for as many handles as settle when their group ends.
      const look = () => {
        looking = false;
        if (this.waiter !== waiter) return;
        const v = check();
        if (v !== undefined) done(v);
      };
      const waiter = () => {
        if (!looking) queueMicrotask(look);
        looking = true;
      };
      this.waiter = waiter;
      this.unwait = () => done(undefined);
    });
  }

  /** Ends what waits. */
  stopWaiting(): void {
    this.unwait?.();
  }

  /** Those of ids that are ready; unknown ones are. */
  ready(ids: Iterable<number>): number[] {
    this.waited = true;
    const out: number[] = [];
    for (const id of ids) {
      const handle = this.open.get(id);
      if (!handle || handle.ready()) out.push(id);
    }
    return out;
  }

  /** Takes up to n of the handles that settled, or whose stream may go on, since the last call. */
  taken(n: number): number[] {
    const out: number[] = [];
    let at = 0;
    for (; out.length < n && at < this.events.length; at++) {
      const handle = this.open.get(this.events[at]!);
      if (!handle) continue;
      handle.told = false;
      out.push(this.events[at]!);
    }
    this.events.splice(0, at);
    return out;
  }

  /** Whether taken has something to give, and whether anything may still settle or move. */
  pending(): { events: boolean; flying: boolean } {
    let gone = 0;
    while (gone < this.events.length && !this.open.has(this.events[gone]!)) gone++;
    this.events.splice(0, gone);
    return { events: this.events.length > 0, flying: this.flying > 0 || this.parked > 0 };
  }

  /** A fetch's handle. Looking at one that has settled is what makes it seen. */
  fetch(id: number): Handle | undefined {
    const handle = this.open.get(id);
    if (!handle || handle.members || handle.kind !== "fetch") return undefined;
    handle.seen = handle.settled;
    return handle;
  }

  /** Cancels a fetch, a group, or one member of a group; the streams of one that has settled, too. False if there is no such handle. */
  cancel(id: number): boolean {
    const handle = this.open.get(id);
    if (!handle) return false;
    handle.cancel?.();
    this.stop(handle, true);
    return true;
  }

  /** Cancels and forgets; for a group, its members too. */
  drop(id: number): boolean {
    if (!this.cancel(id)) return false;
    const members = this.open.get(id)!.members;
    for (let i = 0; i <= members; i++) {
      const handle = this.open.get(id + i);
      if (!handle) continue;
      this.open.delete(id + i);
      this.stop(handle, false);
    }
    return true;
  }

  /** Ends a handle's streams. One that has ended by itself is left so. */
  private stop(handle: Handle, failing: boolean): void {
    if (handle.kind === "response") return;
    for (const queue of [handle.up, handle.down]) this.stopQueue(queue, failing);
  }

  stopQueue(queue: Queue | undefined, failing: boolean): void {
    if (!queue) return;
    if (queue.unpark()) this.parked--;
    const error = new FetchError(cancelled);
    queue.fail(failing ? { error } : undefined);
    queue.release(error);
  }

  /** Ends what is written to a handle's stream; false if it has none. */
  finish(id: number): boolean {
    const queue = this.open.get(id)?.up;
    if (!queue) return false;
    if (queue.unpark()) this.parked--;
    queue.end(eof);
    return true;
  }

  /** Ends all streams but the response's. */
  close(): void {
    this.closed = true;
    for (const handle of this.open.values()) this.stop(handle, true);
  }
}
