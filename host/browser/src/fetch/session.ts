import { Budget } from "./budget.js";
import type { Client } from "./client.js";
import { unenforced } from "./codes.js";
import { Flight, type Hop } from "./flight.js";
import { GroupRun } from "./group.js";
import type { Header } from "./header.js";
import { maxKeptHeaders, maxRecords } from "./params.js";
import { Entry, Trace } from "./record.js";
import { Scope, stops } from "./scope.js";
import { Slots } from "./slots.js";
import type { Call, FetchRecord, FetchRequest, Field, Group, GroupCall, Outcome, Session as SessionInterface } from "./types.js";

/** One piece of work, an invocation: it has a budget of its own, and ends as a whole. */
export class Session implements SessionInterface {
  readonly scope = new Scope();
  readonly budget: Budget;
  readonly slots: Slots;
  #running = 0; // fetches, and streams that are still read
  #idle: (() => void)[] = []; // who waits for none to be running
  #entries: Entry[] = [];
  #traces = 0;
  #headers = 0; // bytes of those that the records hold
  readonly #notes = new Set<string>();
  readonly #started = performance.now();

  constructor(readonly client: Client) {
    this.budget = new Budget(client.limits.requests, client.limits.total_bytes);
    this.slots = new Slots(client.limits.concurrency);
    for (const code of client.unenforced) this.note(code);
  }

  start(request: FetchRequest, done: (outcome: Outcome) => void): Call {
    return this.startIn(this.scope, request, done);
  }

  startGroup(group: Group, each: (index: number, outcome: Outcome) => void, done: () => void): GroupCall {
    return new GroupRun(this, group, each, done);
  }

  /** Starts a fetch within a scope: the session's, or a group's. */
  startIn(parent: Scope, request: FetchRequest, done: (outcome: Outcome) => void): Call {
    const flight = new Flight(this.client, this, request, parent);
    const refused = flight.prepare();
    if (refused) {
      done(flight.reject(refused));
    } else {
      this.join();
      void flight.run().then((outcome) => {
        try {
          done(outcome);
        } finally {
          this.leave();
        }
      });
    }
    return callOf(flight);
  }

  /** Settles a fetch as cancelled without starting it. */
  refuse(parent: Scope, request: FetchRequest, refused: Parameters<Flight["reject"]>[0], done: (outcome: Outcome) => void): Call {
    const flight = new Flight(this.client, this, request, parent);
    done(flight.reject(refused));
    return callOf(flight);
  }

  usage(): { requests: number; bytes: number } {
    return { requests: this.budget.requests, bytes: this.budget.bytes };
  }

  /** Of the first 4,096 fetches; later ones are only counted. */
  records(): FetchRecord[] {
    return this.#entries.map((entry) => entry.snapshot(this.client.secretFields));
  }

  unenforced(): string[] {
    return Object.values(unenforced).filter((code) => this.#notes.has(code));
  }

  async close(): Promise<void> {
    this.scope.end(stops.session);
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Notes something that can't be held to. */
  note(code: string): void {
    this.#notes.add(code);
  }

  /** Makes close wait until leave. */
  join(): void {
    this.#running++;
  }

  leave(): void {
    if (--this.#running > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  record(method: string, url: string): Entry {
    const kept = this.#entries.length < maxRecords;
    const entry = new Entry(method, url, () => performance.now() - this.#started, kept);
    if (kept) this.#entries.push(entry);
    return entry;
  }

  /** Begins the record of one request; undefined past those that are kept. */
  trace(entry: Entry, h: Hop, hedge: boolean): Trace | undefined {
    if (!entry.kept || ++this.#traces > maxRecords) return undefined;
    const protocol = this.client.platform.name === "node" ? "HTTP/1.1" : ""; // a page isn't told
    const trace = new Trace({ method: h.method, url: h.url.text, hop: h.number, hedge, rule: h.decision.rule ?? "", protocol }, entry.now);
    trace.attempt = entry.attempts + 1;
    if (this.keep([...(h.header as Header)].flatMap(([name, values]) => values.map((value): Field => [name, value])))) trace.request = h.header;
    entry.traces.push(trace);
    return trace;
  }

  /** Whether the session's records may hold a header. */
  keep(fields: Field[]): boolean {
    for (const [name, value] of fields) this.#headers += name.length + value.length + 80;
    return this.#headers <= maxKeptHeaders;
  }
}

function callOf(flight: Flight): Call {
  return { cancel: () => flight.scope.end(stops.guest), state: () => flight.entry.state };
}
