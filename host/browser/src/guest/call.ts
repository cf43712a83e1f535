/** The state of one invocation as its guest sees it, on the page's side. See host/internal/guest/guest.go. */
import type { Field, Session } from "../fetch/types.js";
import { again, eof, Queue } from "./queue.js";
import type { Ending } from "./queue.js";
import { Handle, Handles } from "./handles.js";
import type { Log } from "./log.js";

/** What a host function answers: a result, and the bytes that go to where the guest wants them. */
export interface Answer {
  result: number;
  bytes?: Uint8Array | undefined;
}

/** Limits that the functions themselves enforce, in bytes. */
export interface CallLimits {
  output: number; // of the response's body
  requestBytes: number; // of a fetch's body
  held: number; // of all bodies of fetches that haven't settled
}

/** The request's body: whole, or as it comes. */
export interface Inbound {
  body: Uint8Array;
  source?: ReadableStream<Uint8Array> | undefined; // in place of body
}

/** What the guest answers. */
export interface GuestResponse {
  status: number;
  headers: Field[];
  body: Uint8Array;
  stream?: Queue; // in place of body
}

/** An error of the invocation, with one of the contract's codes. */
export interface Failure {
  code: string;
  detail: string;
}

export class Call {
  readonly handles = new Handles();

  response: GuestResponse | undefined;
  over: Failure | undefined; // a limit that was passed and ends the invocation
  requestError: unknown; // why the request's body couldn't be read, once the guest has met with it
  written = 0; // of the response's stream
  waited = 0; // ms, in functions that wait
  stopped = false; // nothing is answered any more: the guest is to end where it stands

  private requestRead = 0;
  private requestOpened = false;
  private requestQueue: Queue | undefined;
  private onStop: (() => void) | undefined;

  constructor(
    readonly session: Session | undefined, // none while an instance is being made: nothing can be fetched then
    readonly inbound: Inbound,
    readonly limits: CallLimits,
    readonly log: Log,
    readonly onBegin: (response: GuestResponse) => void = () => {},
  ) {}

  /** Runs what waits; when the invocation ends meanwhile that is all that comes of it. */
  blocking<T>(waits: Promise<T>): Promise<T | undefined> {
    const from = performance.now();
    const stop = new Promise<undefined>((resolve) => (this.onStop = () => resolve(undefined)));
    return Promise.race([waits, stop]).finally(() => (this.waited += performance.now() - from));
  }

  /** Ends what the guest waits for. */
  stop(): void {
    this.stopped = true;
    this.onStop?.();
    this.handles.stopWaiting();
  }

  /** Takes the response, unless its body of so many bytes is over the limit: then the invocation has failed. */
  answer(response: GuestResponse, size: number): boolean {
    if (size > this.limits.output) {
      this.tooLong(size);
      return false;
    }
    this.response = response;
    return true;
  }

  private tooLong(n: number): void {
    this.over = { code: "limit_output", detail: `the response's body has ${n} bytes, limits.output is ${this.limits.output}` };
  }

  /** Begins a streamed response; 0 if there are too many handles. */
  begin(response: GuestResponse): number {
    const queue = new Queue();
    const handle = new Handle();
    handle.kind = "response";
    handle.settled = true;
    handle.up = queue;
    const id = this.handles.add(handle);
    if (id === 0) return 0;
    queue.told = () => this.handles.tell(id);
    response.stream = queue;
    this.response = response;
    this.onBegin(response);
    return id;
  }

  /** Writes to a handle's stream the beginning of n bytes. */
  write(id: number, n: number, from: Uint8Array): number | "again" | "closed" | "none" | "over" {
    const handle = this.handles.get(id);
    if (!handle?.up) return "none";
    const response = handle.kind === "response";
    if (response && handle.up.taking() && this.written + n > this.limits.output) {
      this.tooLong(this.written + n);
      return "over";
    }
    const put = handle.up.put(from, this.handles.park);
    if (response && typeof put === "number") this.written += put;
    return put;
  }

  /** The next up to n bytes of the request's body. */
  readRequest(n: number): Uint8Array | typeof again | Ending {
    if (!this.inbound.source) {
      const part = this.inbound.body.subarray(this.requestRead, this.requestRead + n);
      this.requestRead += part.length;
      return part;
    }
    const got = this.startRequest(this.inbound.source).take(n, this.handles.park);
    if (got instanceof Uint8Array) this.requestRead += got.length;
    else if (got !== again && got !== eof) this.requestError ??= got.error;
    return got;
  }

  private startRequest(source: ReadableStream<Uint8Array>): Queue {
    if (!this.requestQueue) {
      this.requestQueue = new Queue();
      this.requestQueue.told = () => this.handles.tell(this.handles.inbound);
      void this.requestQueue.fill(source);
    }
    return this.requestQueue;
  }

  /** Gives the request's body a handle: 0 if there are too many, undefined if it had one. */
  openRequest(): number | undefined {
    if (this.requestOpened) return undefined;
    this.requestOpened = true;
    const handle = new Handle();
    handle.kind = "request";
    handle.settled = true;
    if (this.inbound.source) handle.down = this.startRequest(this.inbound.source);
    return (this.handles.inbound = this.handles.add(handle));
  }

  /** The next up to n bytes of a handle's stream, or of its whole body; undefined if it has neither. */
  read(id: number, n: number): Uint8Array | typeof again | Ending | undefined {
    const handle = this.handles.get(id);
    if (!handle || handle.members || handle.kind === "response") return undefined;
    if (handle.kind === "request") return this.readRequest(n);
    if (!handle.settled) return again;
    if (!handle.down) return handle.take(n);
    return handle.down.take(n, this.handles.park);
  }

  /** Bytes of the request's body that are here: all of a whole one, of a stream what the guest has read. */
  received(): number {
    return this.inbound.source ? this.requestRead : this.inbound.body.length;
  }

  /** Bytes of the response's body so far. */
  sent(): number {
    return this.written + (this.response?.body.length ?? 0);
  }

  /** Ends all but the response. The session is closed by who made it. */
  close(): void {
    this.stop();
    this.handles.close();
    this.handles.stopQueue(this.requestQueue, true);
    if (!this.requestQueue) void this.inbound.source?.cancel().catch(() => {});
  }
}
