/** What the fetch engine and its callers say to each other. The engine knows nothing of Wasm; see host/fetch for the server's. */

/** One header field line; names in lower case where the host writes them. */
export type Field = [name: string, value: string];

/** The states of a fetch, as the guest SDK names them. */
export type State = "pending" | "running" | "fulfilled" | "rejected" | "cancelled";

/** How often, and when, an idempotent request is tried again. What is missing or 0 is the policy's. */
export interface Retry {
  attempts?: number; // all of them, the first too
  backoffMs?: number; // the longest wait before the second attempt; doubles from there
  maxBackoffMs?: number;
  statuses?: number[]; // tried again beside failures to connect or to exchange; [] is none
}

/** One fetch to be made. The engine takes it over: nothing in it may be changed afterwards. */
export interface FetchRequest {
  method: string; // "": GET
  url: string; // parsed by the engine and nowhere before
  headers: Field[];
  body?: Uint8Array;
  bodyStream?: ReadableStream<Uint8Array>; // in place of body; can't be sent again once begun
  bodyLength?: number; // of bodyStream; 0 or missing: unknown
  stream: boolean; // leave the response's body to the caller; the fetch settles with the head
  timeoutMs: number; // the whole fetch; 0: the policy's
  attemptTimeoutMs: number; // one attempt; 0: the policy's
  hedgeMs: number; // a second attempt after this long; 0: the policy's
  retry?: Retry;
  redirect: "follow" | "manual" | "error";
  expect: string; // "2xx", "200", "2xx,404"; "": any status fulfils
}

export interface FetchResponse {
  status: number;
  url: string; // the final one
  redirected: boolean;
  attempts: number;
  elapsedMs: number;
  headers: Field[]; // without content-encoding and content-length if the body was decoded
  body: Uint8Array; // empty where there is a stream
  stream?: ReadableStream<Uint8Array>; // errors with a FetchError; counted into the budget as it is read
}

/** Why a fetch failed: a value, never thrown at a guest. */
export interface FetchFailure {
  code: string;
  message: string;
  url: string;
  attempts: number;
  retryable: boolean;
  response?: FetchResponse; // of http_status
}

/** What a body's stream errors with. */
export class FetchError extends Error {
  constructor(readonly failure: FetchFailure) {
    super(`${failure.code}: ${failure.message}`);
    this.name = "FetchError";
  }
}

export type Outcome =
  | { state: "fulfilled"; response: FetchResponse }
  | { state: "rejected" | "cancelled"; error: FetchFailure };

export interface Group {
  mode: "all" | "all_settled" | "any" | "race" | "quorum";
  count: number; // of quorum
  concurrency: number; // 0: the policy's
  timeoutMs: number; // 0: none
  requests: FetchRequest[];
}

/** A fetch that was started. */
export interface Call {
  /** Ends it as cancelled, or its body's stream if it has settled with one. What has settled stays as it is. */
  cancel(): void;
  /** The state it's in now. */
  state(): State;
}

/** A group that was started. */
export interface GroupCall {
  cancel(): void;
  cancelMember(index: number): void; // a rejection, to the mode
  state(index: number): State;
}

/** One invocation's fetches: it has a budget of its own, and ends as a whole. */
export interface Session {
  /** Starts a fetch. done is called once, maybe before start returns (a denial). */
  start(request: FetchRequest, done: (outcome: Outcome) => void): Call;
  /** Starts a group. each is called once for each member as it settles, done once after all. A group that can't be (see host/fetch/group.go's Check) has every member rejected. */
  startGroup(group: Group, each: (index: number, outcome: Outcome) => void, done: () => void): GroupCall;
  usage(): { requests: number; bytes: number };
  /** Every fetch so far, in the order of their calls; JSON as the server's report has it. */
  records(): FetchRecord[];
  /** Codes of what the page can't hold or tell, met so far: the values of `unenforced` in codes.ts. */
  unenforced(): string[];
  /** Cancels what is in flight and waits for its end. */
  close(): Promise<void>;
}

/** Of one fetch, in the report; names and units as in the server's JSON. */
export interface FetchRecord {
  method: string;
  url: string;
  state: State;
  status?: number;
  code?: string;
  message?: string;
  rule?: string;
  attempts: number;
  hops: number;
  bytes: number;
  start_ms: number;
  elapsed_ms: number;
  states: { state: State; at_ms: number }[];
  exchanges: Exchange[];
}

/** One request that was sent, or about to be. */
export interface Exchange {
  method: string;
  url: string;
  attempt: number;
  hop: number;
  hedge?: boolean;
  status?: number;
  code?: string;
  rule?: string;
  protocol?: string;
  reused: boolean;
  start_ms: number;
  elapsed_ms: number;
  blocked_ms?: number;
  dns_ms?: number;
  connect_ms?: number;
  tls_ms?: number;
  send_ms?: number;
  wait_ms?: number;
  receive_ms?: number;
  sent: number;
  received: number;
  decoded: number;
  request_headers?: Field[];
  response_headers?: Field[];
}
