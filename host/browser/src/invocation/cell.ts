/** A place where guests of one plugin run, one at a time: a worker, or in inline mode the page's own thread. */
import { ask } from "../guest/abi.js";
import type { Answer, Call } from "../guest/call.js";
import { answered, sharedBytes, sharedHeader, stopped } from "../guest/protocol.js";
import type { Called, Ended, FromWorker, LinkKind, Plan, Prepared, Run, ToWorker } from "../guest/protocol.js";
import { Runner } from "../guest/runner.js";
import { CPUWatch } from "./cpu_watch.js";
import { openPort } from "./port.js";
import type { Port } from "./port.js";

export interface Cell {
  /** Makes an instance and initialises it, for cpu ms at most. */
  prepare(call: Call, cpu: number): Promise<Prepared>;
  /** Runs it, for cpu ms at most. */
  run(run: Run, call: Call, cpu: number): Promise<Ended>;
  /** Ends the guest that runs: where it stands if it does, or after a moment. Its run ends as stopped. */
  stop(call: Call): void;
  /** Nothing more runs in it. */
  terminate(): void;
  /** Whether it can be used again. */
  readonly alive: boolean;
  /** The guest has passed its CPU limit, and was ended for it. */
  readonly overCPU: boolean;
  /** Keeps the process alive, where there is one. */
  hold(on: boolean): void;
}

/** How long a guest may go on computing that is to end, in ms. */
const grace = 100;

const nobody: Ended = { kind: "ended", end: "stopped", result: 0, message: "", overflow: false, refused: 0, memory: 0, cpu: 0, outputLength: 0, said: "", failure: "" };

/** What a worker needs, once. */
export interface Setting {
  module: WebAssembly.Module;
  plan: Plan;
  link: Exclude<LinkKind, "direct">;
  workerURL: string | URL | undefined;
}

export class WorkerCell implements Cell {
  alive = true;
  overCPU = false;

  private port: Port | undefined;
  private call: Call | undefined;
  private limit = 0; // ms of CPU time
  private waiting: ((m: Prepared | Ended) => void) | undefined;
  private broken: ((why: unknown) => void) | undefined;
  private readonly shared: SharedArrayBuffer | undefined;
  private rest: { result: number; bytes: Uint8Array; at: number } | undefined; // of an answer that comes in parts
  private readonly watch = new CPUWatch(0, () => this.exhausted());

  private constructor(private readonly setting: Setting) {
    if (setting.link === "atomics") this.shared = new SharedArrayBuffer(sharedHeader + sharedBytes);
  }

  /** Starts a worker. That it can't be started shows when it is used. */
  static async open(setting: Setting): Promise<WorkerCell> {
    const cell = new WorkerCell(setting);
    const listener = { message: (m: FromWorker) => cell.message(m), failed: (why: unknown) => cell.failed(why) };
    cell.port = await openPort(listener, setting.workerURL);
    const { module, plan, link } = setting;
    cell.port.post({ kind: "setup", module, plan, link, shared: cell.shared });
    return cell;
  }

  async prepare(call: Call, cpu: number): Promise<Prepared> {
    const m = await this.enter({ kind: "prepare" }, call, cpu);
    return m.kind === "prepared" ? m : { kind: "prepared", streamsRequest: false, failed: m };
  }

  run(run: Run, call: Call, cpu: number): Promise<Ended> {
    return this.enter(run, call, cpu) as Promise<Ended>;
  }

  private enter(message: ToWorker, call: Call, cpu: number): Promise<Prepared | Ended> {
    this.call = call;
    return new Promise((resolve, reject) => {
      this.waiting = resolve;
      this.broken = reject;
      if (!this.alive) return this.terminate();
      this.limit = cpu;
      this.port!.post(message);
    });
  }

  private message(m: FromWorker): void {
    switch (m.kind) {
      case "begun":
        this.watch.begin(this.limit);
        break;
      case "call":
        this.called(m);
        break;
      case "log":
        this.call!.log.add(m.level, m.message, m.size);
        break;
      case "more":
        this.part();
        break;
      default:
        this.watch.stand(m.kind === "ended" ? m.cpu : 0);
        this.done(m);
    }
  }

  private done(m: Prepared | Ended): void {
    const { waiting } = this;
    this.waiting = this.broken = undefined;
    waiting?.(m);
  }

  private called(m: Called): void {
    const call = this.call!;
    this.watch.stand(m.cpu);
    if (this.watch.passed) return this.exhausted();
    try {
      const answer = ask(call, asked(m));
      if (answer instanceof Promise) answer.then((a) => this.answer(a), (why) => this.failed(why));
      else this.answer(answer);
    } catch (why) {
      this.failed(why);
    }
  }

  private answer(answer: Answer | undefined): void {
    if (!this.alive) return;
    if (!this.shared) this.port!.post({ kind: "answer", answer });
    else if (answer) {
      this.rest = { result: answer.result, bytes: answer.bytes ?? new Uint8Array(), at: 0 };
      this.part();
    } else {
      this.wake(stopped);
    }
    this.watch.run();
  }

  /** Puts the next part of an answer where the worker waits for it. */
  private part(): void {
    const { result, bytes, at } = this.rest!;
    const words = new Int32Array(this.shared!, 0, sharedHeader / 4);
    const part = bytes.subarray(at, at + sharedBytes);
    new Uint8Array(this.shared!, sharedHeader).set(part);
    words.set([result, part.length, bytes.length], 1);
    this.rest!.at += part.length;
    this.wake(answered);
  }

  private wake(state: number): void {
    const words = new Int32Array(this.shared!, 0, sharedHeader / 4);
    Atomics.store(words, 0, state);
    Atomics.notify(words, 0);
  }

  stop(call: Call): void {
    call.stop();
    setTimeout(() => {
      if (this.call === call && this.waiting) this.terminate();
    }, grace);
  }

  private exhausted(): void {
    this.overCPU = true;
    this.terminate();
  }

  /** The worker can't be used any more, by nobody's wish. */
  private failed(why: unknown): void {
    const { broken } = this;
    if (this.alive && broken) {
      this.waiting = this.broken = undefined;
      broken(why);
    }
    this.terminate();
  }

  terminate(): void {
    const { used, limit } = this.watch;
    this.alive = false;
    this.watch.stand(used);
    this.port?.terminate();
    this.done({ ...nobody, cpu: this.overCPU ? Math.max(used, limit) : used });
  }

  hold(on: boolean): void {
    if (this.alive) this.port!.hold(on);
  }
}

function asked({ op, args, bytes, more }: Called) {
  return { op, args, bytes: bytes ?? new Uint8Array(), more: more ?? new Uint8Array() };
}

/** How long a guest may go on before the page has a turn, in ms. */
const turnEvery = 8;

/** On the page's own thread: nothing can end a guest that computes. */
export class InlineCell implements Cell {
  alive = true;
  readonly overCPU = false;
  private call: Call | undefined;
  private readonly runner: Runner;
  private over: (() => void) | undefined;
  private turned = performance.now(); // when the page had its last turn for certain

  constructor(module: WebAssembly.Module, plan: Plan) {
    this.runner = new Runner(module, plan, {
      suspends: true,
      ask: async (called) => {
        await this.turn();
        return ask(this.call!, asked(called));
      },
      log: ({ level, message, size }) => this.call!.log.add(level, message, size),
    });
  }

  /**
   * Now and then leaves the thread to the page. What a guest asks for is often there at once, and promises that are there run before any
   * timer, answer or click: a guest that looks again and again for what hasn't come would wait for ever.
   */
  private async turn(): Promise<void> {
    if (performance.now() - this.turned < turnEvery) return;
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(undefined);
    });
    this.turned = performance.now();
  }

  async prepare(call: Call): Promise<Prepared> {
    this.call = call;
    return this.runner.prepare();
  }

  async run(run: Run, call: Call): Promise<Ended> {
    this.call = call;
    const ended = new Promise<Ended>((resolve) => (this.over = () => resolve(nobody)));
    return Promise.race([this.runner.run(run), ended]);
  }

  stop(call: Call): void {
    call.stop();
  }

  terminate(): void {
    this.alive = false;
    this.call?.stop();
    this.over?.();
  }

  hold(): void {}
}
