import { timer } from "../fetch/scope.js";
import { Call } from "../guest/call.js";
import { Log } from "../guest/log.js";
import type { Ended } from "../guest/protocol.js";
import type { Cell } from "./cell.js";
import { SortieError } from "./problem.js";

/** Invocations that wait for their turn, at most. */
const maxQueue = 1024;

/** What a start may take beyond limits.cpu, in ms: an engine compiles code as it is first run, on the guest's time. */
const compiling = 2000;

/** An instance that is initialised, and what it has logged by then. */
export interface Ready {
  cell: Cell;
  log: Log;
  streamsRequest: boolean;
}

/** The cells of a plugin: each has an instance made ahead while nobody needs it. */
export class Pool {
  private readonly cells = new Set<Cell>();
  private readonly idle: { cell: Cell; ready: Promise<Ready> }[] = [];
  private readonly queue: ((turn: SortieError | undefined) => void)[] = [];
  private busy = 0;
  private closed = false;

  constructor(
    private readonly concurrency: number,
    private readonly open: () => Promise<Cell>,
    private readonly limits: { wall: number; cpu: number; log: number },
    private readonly pooled: boolean, // instances are kept from one invocation to the next
  ) {}

  /** An instance to run; end resolves when it isn't wanted any more. Throws what the guest fails to start with, or overloaded. */
  async take(end: AbortSignal): Promise<Ready> {
    await this.turn(end);
    try {
      let found = this.idle.pop();
      while (found && !found.cell.alive) found = this.idle.pop(); // its worker has crashed meanwhile
      found?.cell.hold(true);
      const ready = found ? await found.ready : await this.fresh();
      ready.cell.hold(true);
      return ready;
    } catch (e) {
      this.next();
      throw e;
    }
  }

  private async turn(end: AbortSignal): Promise<void> {
    if (this.closed) throw closedError();
    if (this.busy < this.concurrency) {
      this.busy++;
      return;
    }
    if (this.queue.length >= maxQueue) throw new SortieError("overloaded", `${maxQueue} invocations wait already; try again later`);
    await new Promise<void>((resolve, reject) => {
      const turn = (refused: SortieError | undefined) => {
        end.removeEventListener("abort", gone);
        if (refused) reject(refused);
        else resolve();
      };
      const gone = () => {
        this.queue.splice(this.queue.indexOf(turn), 1);
        reject(end.reason);
      };
      end.addEventListener("abort", gone, { once: true });
      if (end.aborted) return reject(end.reason);
      this.queue.push(turn);
    });
  }

  /** Whoever has waited longest is next. */
  private next(): void {
    const first = this.queue.shift();
    if (first) first(undefined);
    else this.busy--;
  }

  /** A new cell with an instance in it. */
  private async fresh(): Promise<Ready> {
    const cell = await this.open();
    this.cells.add(cell);
    cell.hold(true);
    if (this.closed) {
      this.discard(cell);
      throw closedError();
    }
    return this.prepare(cell);
  }

  private async prepare(cell: Cell): Promise<Ready> {
    const log = new Log(this.limits.log);
    const call = new Call(undefined, { body: new Uint8Array() }, { output: 0, requestBytes: 0, held: 0 }, log);
    const onTime = timer(this.limits.wall, () => cell.stop(call)); // it may sleep instead of computing
    try {
      const { streamsRequest, failed } = await cell.prepare(call, this.limits.cpu + compiling);
      if (!failed) return { cell, log, streamsRequest };
      throw notStarted(cell, failed);
    } catch (e) {
      this.discard(cell);
      throw e;
    } finally {
      onTime();
      call.close();
    }
  }

  /** Gives an instance back. One that hasn't run is as good as before; one that ended cleanly is kept, if the plugin's are. After a failure the whole cell goes. */
  give(given: Ready, end: "unused" | "clean" | "stopped" | "failed"): void {
    const { cell } = given;
    if (end === "failed" || !cell.alive || this.closed) {
      this.discard(cell);
    } else {
      const again = end === "unused" || (this.pooled && end === "clean");
      const ready = again ? Promise.resolve(given) : this.prepare(cell);
      ready.catch(() => this.drop(cell)); // whoever takes it next is told
      this.idle.push({ cell, ready });
      void ready.then(() => this.rest(cell), () => {});
    }
    this.next();
  }

  /** A cell that waits for work lets the process end. */
  private rest(cell: Cell): void {
    if (this.idle.some((i) => i.cell === cell)) cell.hold(false);
  }

  private drop(cell: Cell): void {
    const at = this.idle.findIndex((i) => i.cell === cell);
    if (at >= 0) this.idle.splice(at, 1);
  }

  private discard(cell: Cell): void {
    this.cells.delete(cell);
    cell.terminate();
  }

  /** Ends all cells. Who waits is refused. */
  close(): void {
    this.closed = true;
    for (const refuse of this.queue.splice(0)) refuse(closedError());
    for (const cell of [...this.cells]) this.discard(cell);
    this.idle.length = 0;
  }
}

const closedError = () => new SortieError("draining", "the plugin has been closed");

function notStarted(cell: Cell, { end, result, message, overflow, failure }: Ended): SortieError {
  const why = cell.overCPU ? "it computed for longer than limits.cpu"
    : end === "exited" ? `it exited with status ${result}`
    : overflow ? "its call stack is exhausted (runaway recursion?)"
    : end === "stopped" ? "it was stopped"
    : message;
  return new SortieError("plugin_trapped", `the plugin doesn't start: ${why}${failure && `: ${failure}`}`);
}
