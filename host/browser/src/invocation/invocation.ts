/** One invocation, from its request to its report. See host/invoke.go and host/run.go. */
import type { Session } from "../fetch/types.js";
import { Call } from "../guest/call.js";
import type { GuestResponse, Inbound } from "../guest/call.js";
import type { LogLine } from "../guest/log.js";
import { eof } from "../guest/queue.js";
import type { Ended, Run } from "../guest/protocol.js";
import type { Manifest } from "../manifest/index.js";
import { Answer } from "./answer.js";
import { contentType } from "./content_type.js";
import { announced, bounded, headOf, whole } from "./inbound.js";
import { Life } from "./life.js";
import { cutError, failureOf } from "./outcome.js";
import type { Pool, Ready } from "./pool.js";
import { problem, SortieError } from "./problem.js";
import { round, underWay } from "./report.js";
import type { Report } from "./report.js";

/** What invocations of one plugin share. */
export interface Shared {
  name: string;
  raw: boolean;
  manifest: Manifest;
  pool: Pool;
  session(): Session;
  host: "browser" | "node";
  unenforced: string[]; // in every invocation
  log: ((line: LogLine) => void) | undefined;
}

export class Invocation {
  readonly id = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  /** Resolves when all is over, a streamed answer read. */
  readonly report: Promise<Report>;

  private readonly arrived = performance.now();
  private readonly started = new Date().toISOString();
  private readonly life: Life;
  private queued = 0; // ms
  private ran = 0; // ms
  private head: number | undefined; // when the streamed response began
  private call: Call | undefined;
  private ended: Ended | undefined;
  private session: Session | undefined;
  private answer: Answer | undefined; // of a response that is streamed
  private failed: SortieError | undefined;
  private finish!: (report: Report) => void;

  constructor(
    private readonly shared: Shared,
    private readonly request: Request,
    private readonly finished: (report: Report) => void, // called before the last of the answer is given
  ) {
    const { limits } = shared.manifest;
    this.life = new Life(this.arrived, limits.wall, limits.stream);
    this.report = new Promise((resolve) => (this.finish = resolve));
  }

  /** Ends it from outside. */
  cut(why: "gone" | "closed"): void {
    this.life.end(why);
  }

  /** The response: the plugin's, or a problem. Throws the reason of the request's signal, if that is why there is none. */
  async respond(): Promise<Response> {
    const { signal } = this.request;
    const gone = () => this.cut("gone");
    signal.addEventListener("abort", gone, { once: true });
    if (signal.aborted) gone();
    return new Promise<Response>((resolve, reject) => {
      const over = (response: Response | undefined) => {
        signal.removeEventListener("abort", gone);
        this.end();
        if (this.failed) this.answer?.fail(signal.aborted ? signal.reason : this.failed);
        if (this.failed && signal.aborted) reject(signal.reason);
        else resolve(response ?? problem(this.failed!, this.id)); // without effect where a streamed answer has begun
      };
      this.run(resolve).then(over, (why: unknown) => {
        this.failed = this.asError(why);
        over(undefined);
      });
    });
  }

  private asError(why: unknown): SortieError {
    if (this.life.cut) return cutError(this.life.cut, this.shared.manifest.limits);
    if (why instanceof SortieError) return why;
    return new SortieError("internal_error", "the host failed; this is a bug in Sortie", { cause: why });
  }

  /** Runs the guest, and returns its response; one that is streamed is handed over as soon as it begins. Throws why there is none. */
  private async run(begun: (response: Response) => void): Promise<Response> {
    const ready = await this.ready();
    this.queued = performance.now() - this.arrived;
    let end: "unused" | "clean" | "stopped" | "failed" = "unused";
    try {
      const { inbound, length } = await this.inbound(ready);
      this.session = this.shared.session();
      end = "failed";
      await this.enter(ready, inbound, length, begun);
      if (!this.ended) end = "unused";
      else if (this.ended.end === "returned") end = "clean";
      else if (this.ended.end === "stopped") end = "stopped";
    } finally {
      this.call?.close();
      this.shared.pool.give(ready, end);
      await this.session?.close(); // so that the report tells what became of what was in flight
    }
    const { raw, manifest } = this.shared;
    if (!this.ended) throw cutError(this.life.cut!, manifest.limits);
    const failure = failureOf(this.call!, this.ended, this.life.cut, raw, manifest.limits);
    if (failure) throw failure;
    if (!this.answer) return this.whole();
    this.call!.response!.stream!.end(eof);
    this.life.rest();
    await this.answer.sent(this.life.signal);
    if (this.life.cut) throw cutError(this.life.cut, manifest.limits);
    return this.answer.empty();
  }

  /** The request's body: whole, unless the plugin takes it as it comes. */
  private async inbound({ streamsRequest }: Ready): Promise<{ inbound: Inbound; length: number }> {
    const limit = this.shared.manifest.limits.input;
    const length = announced(this.request);
    if (length > limit && length !== Number.MAX_SAFE_INTEGER) {
      throw new SortieError("limit_input", `the request's body has ${length} bytes, limits.input is ${limit}`);
    }
    if (streamsRequest && this.request.body) {
      return { inbound: { body: new Uint8Array(), source: bounded(this.request.body, limit) }, length };
    }
    try {
      const body = await this.before(whole(this.request.body, limit));
      return { inbound: { body }, length: body.length };
    } catch (why) {
      throw why instanceof SortieError ? why : new SortieError("plugin_error", "the request's body can't be read", { cause: why });
    }
  }

  /** What a promise gives, unless the invocation ends before. */
  private before<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.life;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      promise.then(resolve, reject);
    });
  }

  /** An instance. One that comes too late is for others. */
  private async ready(): Promise<Ready> {
    const { pool } = this.shared;
    const taking = pool.take(this.life.signal);
    try {
      return await this.before(taking);
    } catch (e) {
      void taking.then((late) => pool.give(late, "unused"), () => {});
      throw e;
    }
  }

  private async enter({ cell, log }: Ready, inbound: Inbound, length: number, begun: (response: Response) => void): Promise<void> {
    const { manifest, raw } = this.shared;
    const limits = { output: manifest.limits.output, requestBytes: manifest.fetch.limits.request_bytes, held: manifest.limits.memory };
    const call = new Call(this.session, inbound, limits, log.clone(this.shared.log), (r) => this.begin(r, begun));
    this.call = call;
    const stop = () => {
      void this.session?.close();
      cell.stop(call);
    };
    this.life.signal.addEventListener("abort", stop, { once: true });
    if (this.life.cut) return;
    const from = performance.now();
    const run: Run = {
      kind: "run", head: raw ? new Uint8Array() : headOf(this.request, length), body: raw ? inbound.body : new Uint8Array(),
      left: this.life.until - from,
    };
    this.ended = await cell.run(run, call, manifest.limits.cpu);
    this.ran = performance.now() - from;
    this.life.signal.removeEventListener("abort", stop);
    if (cell.overCPU) this.life.end("cpu");
    if (raw) this.answerRaw(call, this.ended);
  }

  private answerRaw(call: Call, { end, result, said, output, outputLength }: Ended): void {
    if ((end !== "returned" && end !== "exited") || result !== 0 || said !== "") return;
    const body = output ?? new Uint8Array();
    call.answer({ status: 200, headers: [["content-type", contentType(body)]], body }, outputLength);
  }

  /** The guest has begun a streamed response. */
  private begin(response: GuestResponse, begun: (response: Response) => void): void {
    this.head = performance.now();
    this.life.begun();
    this.answer = new Answer(response, this.request.method, this.id, () => this.cut("gone"));
    this.answer.begin(begun);
  }

  private whole(): Response {
    const { response } = this.call!;
    const answer = new Answer(response!, this.request.method, this.id, () => {});
    return answer.whole(this.timing());
  }

  /** Server-Timing (https://www.w3.org/TR/server-timing/), in milliseconds. */
  private timing(): string {
    const fetches = this.session!.records();
    const ms = (v: number) => v.toFixed(3);
    const total = performance.now() - this.arrived;
    return `queue;dur=${ms(this.queued)}, guest;dur=${ms(this.guestTime())}, fetch;dur=${ms(underWay(fetches))};desc="${fetches.length}", total;dur=${ms(total)}`;
  }

  /** The guest's own time, without what it waited in the host. */
  private guestTime(): number {
    return Math.max(this.ran - (this.call?.waited ?? 0), 0);
  }

  private end(): void {
    this.life.over();
    const { manifest, name, raw, host } = this.shared;
    const url = new URL(this.request.url);
    const fetches = this.session?.records() ?? [];
    const unenforced = new Set([...this.shared.unenforced, ...(this.session?.unenforced() ?? [])]);
    const report: Report = {
      id: this.id, plugin: name, version: 0, kind: raw ? "raw" : "http", started: this.started, method: this.request.method, path: url.pathname,
      status: this.failed?.status ?? this.call?.response?.status ?? 500,
      ...(this.failed && { code: this.failed.code, detail: this.failed.detail }),
      queue_ms: round(this.queued), guest_ms: round(this.guestTime()), cpu_ms: round(this.ended?.cpu ?? 0), fetch_ms: underWay(fetches),
      total_ms: round(performance.now() - this.arrived),
      memory: this.ended?.memory ?? 0, fetches, budget: this.budget(manifest), logs: this.call?.log.lines ?? [],
      host, unenforced: [...unenforced],
    };
    this.finished(report);
    this.finish(report);
    this.answer?.settle();
  }

  private budget({ fetch, limits }: Manifest): Report["budget"] {
    if (!this.session || !this.call) return [];
    const { requests, bytes } = this.session.usage();
    const now = performance.now();
    const head = this.head ?? now;
    const budget: Report["budget"] = [
      { name: "fetch.limits.requests", used: requests, limit: fetch.limits.requests, unit: "requests" },
      { name: "fetch.limits.total_bytes", used: bytes, limit: fetch.limits.total_bytes, unit: "bytes" },
      { name: "limits.wall", used: Math.floor(head - this.arrived), limit: limits.wall, unit: "ms" },
      { name: "limits.cpu", used: Math.floor(this.ended?.cpu ?? 0), limit: limits.cpu, unit: "ms" },
      { name: "limits.memory", used: this.ended?.memory ?? 0, limit: limits.memory, unit: "bytes" },
      { name: "limits.input", used: this.call.received(), limit: limits.input, unit: "bytes" },
      { name: "limits.output", used: this.call.sent(), limit: limits.output, unit: "bytes" },
    ];
    if (this.head !== undefined) budget.push({ name: "limits.stream", used: Math.floor(now - head), limit: limits.stream, unit: "ms" });
    return budget;
  }
}

