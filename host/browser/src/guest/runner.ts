/** Makes instances of one module, and runs them: what a worker does for the page, or inline mode on the page's own thread. */
import { Extism } from "./extism.js";
import { Exit, Stop } from "./host.js";
import type { Host, Imports, Soon } from "./host.js";
import type { Answer } from "./call.js";
import { Printer } from "./log.js";
import type { Called, Ended, Logged, Plan, Prepared, Run } from "./protocol.js";
import { abiModule, extismModule, extismUserModule, wasiModule } from "./signatures.js";
import { abiImports } from "./stub.js";
import type { Running } from "./stub.js";
import { wasiImports } from "./wasi.js";

/** How the page is reached. */
export interface Link {
  /** Whether ask answers with promises, so that the guest has to be suspended meanwhile. */
  suspends: boolean;
  ask(called: Called): Soon<Answer | undefined>;
  /** Passes a line of the log on. */
  log(line: Logged): void;
}

/** JavaScript Promise Integration (WebAssembly JSPI proposal), which TypeScript's library doesn't know yet. */
const jspi = WebAssembly as unknown as {
  Suspending: new (fn: (...args: never[]) => unknown) => WebAssembly.ImportValue;
  promising(fn: unknown): (...args: unknown[]) => Promise<unknown>;
};

const page = 64 << 10;

export class Runner implements Host {
  private instance: WebAssembly.Instance | undefined;
  private extism: Extism | undefined;
  private log: Printer;
  private running: Running = { head: undefined, whole: undefined, until: undefined, streamsRequest: false };
  private logged = 0; // what the log took when the instance was ready
  private began = 0; // of the stretch that the guest computes, on performance.now(); 0: it doesn't
  private computed = 0; // ms, in the stretches before
  private exited: Exit | Stop | undefined;
  private failure = ""; // why the guest says it fails

  constructor(
    private readonly module: WebAssembly.Module,
    private readonly plan: Plan,
    private readonly link: Link,
  ) {
    this.log = this.printer();
  }

  private printer(): Printer {
    return new Printer(this.plan.limits.log, (level, message, size) => this.link.log({ kind: "log", level, message, size }));
  }

  // --- what the functions beside the guest use

  memory(): ArrayBuffer | undefined {
    const memory = this.instance?.exports[this.plan.memory];
    return memory instanceof WebAssembly.Memory ? memory.buffer : undefined;
  }

  ask(op: string, args: number[], bytes?: Uint8Array, more?: Uint8Array): Soon<Answer> {
    this.pause();
    const answer = this.link.ask({ kind: "call", op, args, bytes, more, cpu: this.computed });
    const resume = (a: Answer | undefined): Answer => {
      this.resume();
      if (!a) throw new Stop();
      return a;
    };
    return answer instanceof Promise ? answer.then(resume) : resume(answer);
  }

  fail(why: string): void {
    this.failure = why;
  }

  /** Remembers what ends the guest: it may catch what is thrown, and go on. */
  private thrown(e: unknown): never {
    if (e instanceof Exit || e instanceof Stop) this.exited ??= e;
    throw e;
  }

  private pause(): void {
    if (this.began > 0) this.computed += performance.now() - this.began;
    this.began = 0;
  }

  private resume(): void {
    this.began = performance.now();
  }

  // --- instances

  /** Makes an instance and initialises it; one there was is forgotten. */
  async prepare(): Promise<Prepared> {
    this.running = { head: undefined, whole: undefined, until: undefined, streamsRequest: false };
    this.log = this.printer();
    this.extism = new Extism(this, this.log, this.plan.config, (size) => this.fits(size));
    const ended = await this.enter(async () => {
      this.instance = undefined;
      this.resume();
      this.instance = await WebAssembly.instantiate(this.module, this.imports());
      this.room(0);
      for (const name of this.starts()) await this.export(name)(...(name === "hs_init" ? [0, 0] : []));
      return 0;
    });
    const failed = ended.end === "returned" ? undefined : ended;
    this.logged = this.log.rest();
    return { kind: "prepared", streamsRequest: this.running.streamsRequest, ...(failed && { failed }) };
  }

  /** Exports to call before the first invocation; see host/start.go and host/raw.go. */
  private starts(): string[] {
    const has = (name: string) => name !== "" && typeof this.instance!.exports[name] === "function";
    const names = [this.plan.start, "_initialize"];
    if (this.plan.raw && !has("_initialize") && !has("hs_init")) names.push("__wasm_call_ctors");
    if (this.plan.raw) names.push("hs_init"); // Haskell's runtime
    return names.filter(has);
  }

  private export(name: string): (...args: unknown[]) => Soon<unknown> {
    const fn = this.instance!.exports[name] as (...args: unknown[]) => unknown;
    return this.link.suspends ? jspi.promising(fn) : (fn as (...args: unknown[]) => Soon<unknown>);
  }

  private imports(): WebAssembly.Imports {
    const log = this.log;
    const wrap = (all: Imports): WebAssembly.ModuleImports => {
      const out: WebAssembly.ModuleImports = {};
      for (const [name, { asks, do: fn }] of Object.entries(all)) {
        const guarded = (...args: never[]) => {
          if (this.exited) throw this.exited;
          try {
            const result = fn(...args);
            return result instanceof Promise ? result.catch((e) => this.thrown(e)) : result;
          } catch (e) {
            return this.thrown(e);
          }
        };
        // A function that doesn't ask never suspends, which spares the guest the way through a promise.
        out[name] = asks && this.link.suspends ? new jspi.Suspending(guarded) : guarded;
      }
      return out;
    };
    const all = { [wasiModule]: wrap(wasiImports(this, log)) };
    if (!this.plan.raw) return { ...all, [abiModule]: wrap(abiImports(this, this.plan, this.state(), log)) };
    return { ...all, [extismModule]: wrap(this.extism!.env()), [extismUserModule]: wrap(this.extism!.user()) };
  }

  /** The state of the invocation that runs: the instance's functions outlive it where instances are kept. */
  private state(): Running {
    const at = () => this.running;
    return {
      get head() { return at().head; },
      get whole() { return at().whole; },
      set whole(v) { at().whole = v; },
      get until() { return at().until; },
      set until(v) { at().until = v; },
      get streamsRequest() { return at().streamsRequest; },
      set streamsRequest(v) { at().streamsRequest = v; },
    };
  }

  // --- memory

  private linear(): number {
    return this.memory()?.byteLength ?? 0;
  }

  /** Whether Extism's memory may have so many bytes beside the guest's own. */
  private fits(size: number): boolean {
    const fits = this.linear() + size <= this.plan.limits.memory;
    if (fits) this.room(size);
    else this.refused = Math.max(this.refused, this.linear() + size);
    return fits;
  }

  private refused = 0;

  /** Tells the instance how many pages its memory may have beside so many bytes of Extism's. */
  private room(size: number): void {
    const global = this.instance?.exports[this.plan.room];
    if (global instanceof WebAssembly.Global) global.value = Math.max(Math.floor((this.plan.limits.memory - size) / page), 0);
  }

  private refusedBytes(): number {
    const global = this.instance?.exports[this.plan.refused];
    const pages = global instanceof WebAssembly.Global ? (global.value as number) >>> 0 : 0;
    return Math.max(this.refused, pages * page);
  }

  // --- running

  /** Runs the instance once. */
  async run(run: Run): Promise<Ended> {
    this.running.head = run.head;
    this.running.whole = undefined;
    this.running.until = performance.now() + run.left;
    this.log.begin(this.logged);
    this.room(0); // what an invocation before had of Extism's memory is free again
    const ended = await this.enter(async () => {
      if (this.plan.raw && !this.extism!.begin(run.body)) return 0;
      const result = await this.export(this.plan.entry)();
      return typeof result === "number" ? result : 0;
    });
    if (this.plan.raw) {
      const { length, bytes } = this.extism!.output(this.plan.limits.output);
      ended.output = bytes;
      ended.outputLength = length;
      ended.said = this.extism!.said();
    }
    return ended;
  }

  /** Runs guest code, and says how it ended. */
  private async enter(run: () => Promise<number>): Promise<Ended> {
    this.exited = undefined;
    this.failure = "";
    this.computed = this.refused = 0;
    const ended: Ended = {
      kind: "ended", end: "returned", result: 0, message: "", overflow: false, refused: 0, memory: 0, cpu: 0, outputLength: 0, said: "", failure: "",
    };
    this.resume();
    try {
      ended.result = await run();
    } catch (e) {
      ended.end = "trapped";
      ended.message = e instanceof Error ? e.message : String(e);
      // V8 and JavaScriptCore throw a RangeError, SpiderMonkey an InternalError, for an exhausted stack. None is WebAssembly's own.
      ended.overflow = e instanceof Error && /call stack|too much recursion/i.test(e.message);
    }
    this.pause();
    this.log.end();
    const thrown = this.exited as Exit | Stop | undefined; // set by what the guest called meanwhile
    if (thrown instanceof Exit) {
      ended.end = "exited";
      ended.result = thrown.status;
    } else if (thrown) {
      ended.end = "stopped";
    }
    ended.refused = this.refusedBytes();
    ended.memory = this.linear() + (this.plan.raw ? this.extism!.kernel.size : 0);
    ended.cpu = this.computed;
    ended.failure = this.failure;
    return ended;
  }
}
