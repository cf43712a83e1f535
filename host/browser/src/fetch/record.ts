import type { Header } from "./header.js";
import { credentials, hide, shownFields, shownURL } from "./redact.js";
import { bounded, milliseconds } from "./text.js";
import { maxMethod, maxRecordURL } from "./params.js";
import type { Fail } from "../policy/failure.js";
import type { Exchange, FetchRecord, Field, State } from "./types.js";

/** The record of a fetch that may still be under way. Times are in ms since the session began. */
export class Entry {
  attempts = 0;
  status = 0; // of the last response; 0: there was none
  state: State = "pending";
  rule = "";
  hops = 0;
  bytes = 0; // decoded, of the response
  streaming = false; // its body is still being read
  fail?: Fail;
  method: string;
  readonly url: string;
  readonly traces: Trace[] = [];
  readonly #start: number;
  #ran?: number;
  #settled?: number;
  #elapsed?: number;

  constructor(method: string, url: string, readonly now: () => number, readonly kept: boolean) {
    this.method = bounded(method, maxMethod);
    this.url = shownURL(url);
    this.#start = now();
  }

  /** Notes that the fetch has a slot. */
  run(): void {
    this.#ran ??= this.now();
    this.state = "running";
  }

  settle(state: State): void {
    this.#settled = this.now();
    this.#elapsed = this.#settled - this.#start;
    this.state = state;
  }

  /** Completes the record of a fetch whose body was read by the caller. */
  streamed(fail: Fail | undefined, decoded: number): void {
    this.streaming = false;
    this.#elapsed = this.now() - this.#start;
    this.bytes = decoded;
    if (fail) this.fail = fail;
  }

  /** The record as it is now. */
  snapshot(secretFields: string[]): FetchRecord {
    const states = [{ state: "pending" as State, at_ms: milliseconds(this.#start) }];
    if (this.#ran !== undefined) states.push({ state: "running", at_ms: milliseconds(this.#ran) });
    if (this.#settled !== undefined) states.push({ state: this.state, at_ms: milliseconds(this.#settled) });
    const over = this.#settled !== undefined && !this.streaming;
    const record: FetchRecord = {
      method: this.method, url: this.url, state: this.state,
      ...(this.status > 0 && { status: this.status }),
      ...(this.fail && { code: this.fail.code, message: this.fail.message }),
      ...(this.rule && { rule: bounded(this.rule, maxRecordURL) }),
      attempts: this.attempts, hops: this.hops, bytes: this.bytes, start_ms: milliseconds(this.#start),
      elapsed_ms: milliseconds(over ? this.#elapsed! : this.now() - this.#start), states,
      exchanges: this.traces.map((trace) => trace.snapshot(secretFields)),
    };
    hide(record, this.traces.flatMap((trace) => (trace.request ? credentials(trace.request) : [])));
    return record;
  }
}

/** The Exchange of one request that may still be under way. What comes after its end counts for nothing. */
export class Trace {
  attempt = 0;
  status = 0;
  response?: Field[]; // undefined: none came, or too much to keep
  request?: Header; // likewise
  readonly #start: number;
  #sent?: number; // when fetch() was called
  #head?: number;
  #end?: { at: number; code: string; sent: number; received: number; decoded: number };

  constructor(readonly of: { method: string; url: string; hop: number; hedge: boolean; rule: string; protocol: string }, readonly now: () => number) {
    this.#start = now();
  }

  called(): void {
    this.#sent = this.now();
  }

  head(status: number): void {
    this.#head = this.now();
    this.status = status;
  }

  end(code = "", sent = 0, received = 0, decoded = 0): void {
    this.#end ??= { at: this.now(), code, sent, received, decoded };
  }

  snapshot(secretFields: string[]): Exchange {
    const { method, url, hop, hedge, rule, protocol } = this.of, end = this.#end, now = end?.at ?? this.now();
    const phase = (from: number | undefined, to: number) => (from === undefined ? undefined : milliseconds(Math.max(to - from, 0)));
    const sent = this.#sent ?? now, head = this.#head ?? now;
    return dropEmpty({
      method, url: shownURL(url), attempt: this.attempt, hop, hedge: hedge || undefined, status: this.status || undefined, code: end?.code || undefined,
      rule: rule || undefined, protocol: (this.#head !== undefined && protocol) || undefined, reused: false, start_ms: milliseconds(this.#start),
      elapsed_ms: milliseconds(now - this.#start), blocked_ms: phase(this.#start, sent), wait_ms: phase(this.#sent, head),
      receive_ms: phase(this.#head, now), sent: end?.sent ?? 0, received: end?.received ?? 0, decoded: end?.decoded ?? 0,
      request_headers: this.request && shownFields([...this.request].flatMap(([name, values]) => values.map((v): Field => [name, v])), secretFields),
      response_headers: this.response && shownFields(this.response, secretFields),
    });
  }
}

function dropEmpty<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}
