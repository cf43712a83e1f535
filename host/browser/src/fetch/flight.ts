import type { Decision } from "../policy/index.js";
import { fail, isFail, type Fail } from "../policy/failure.js";
import { parseURL, type ParsedURL } from "../policy/url.js";
import type { Client } from "./client.js";
import { retryable, unenforced } from "./codes.js";
import { Cookies } from "./cookies.js";
import { isExpected, parseExpect, type Expect } from "./expect.js";
import type { Reply } from "./exchange.js";
import { checkMethod, forbiddenField, requestHeader, type Header } from "./header.js";
import type { OriginState } from "./origin.js";
import type { Entry } from "./record.js";
import { credentials, without } from "./redact.js";
import { nextHop } from "./redirect.js";
import { isIdempotent, retried } from "./retry.js";
import { Scope, stops } from "./scope.js";
import type { Session } from "./session.js";
import { clean, milliseconds, quote } from "./text.js";
import type { FetchFailure, FetchRequest, FetchResponse, Outcome } from "./types.js";
import { Upload } from "./upload.js";

/** One URL of a fetch, allowed and ready to be sent, as often as retries and hedges want. */
export interface Hop {
  url: ParsedURL;
  method: string;
  header: Header; // what goes out; not changed any more
  own: Header; // what the guest gave, for the next hop
  body: Uint8Array;
  upload?: Upload; // in place of body
  decision: Decision;
  number: number; // from 0
  onward: boolean; // led to by a redirect and not sent yet
}

/** How a fetch is tried again, with nothing left open. */
interface Retrying {
  attempts: number;
  backoffMs: number;
  maxBackoffMs: number;
  statuses: number[];
}

/** One fetch from the call until it has settled. */
export class Flight {
  readonly scope: Scope;
  readonly entry: Entry;
  readonly attemptTimeout: number; // ms; 0: none
  readonly retry: Retrying;
  readonly cookies = new Cookies();
  tries = 1; // rounds of attempts begun; a hedge doesn't count
  hops = 0;
  url?: ParsedURL; // of the current hop; undefined: it never parsed
  prepaid = false; // the first request has been charged
  #method: string;
  #expect: Expect = [];
  #upload?: Upload;
  #first!: Hop;
  readonly #started = performance.now();
  readonly #leaveGroup: () => void;

  /** Its times run from now on. parent is its session's scope or its group's. */
  constructor(readonly client: Client, readonly session: Session, readonly request: FetchRequest, parent: Scope) {
    const { limits, retry } = client, asked = request.retry ?? {};
    this.#method = request.method;
    this.entry = session.record(request.method, request.url);
    this.attemptTimeout = shorter(request.attemptTimeoutMs, limits.attempt_timeout);
    this.retry = {
      attempts: asked.attempts || retry.attempts, backoffMs: asked.backoffMs || retry.backoff, maxBackoffMs: asked.maxBackoffMs || retry.max_backoff,
      statuses: asked.statuses ?? retry.statuses,
    };
    this.scope = new Scope(session.scope);
    this.#leaveGroup = parent === session.scope ? () => {} : this.scope.join(parent);
    const timeout = shorter(request.timeoutMs, limits.timeout);
    if (!this.scope.cause) this.scope.endAfter(timeout, stops.whole(timeout));
  }

  /**
   * Checks the fetch and charges its first request, before start returns, so that of several fetches started one after the other the last are
   * those that the budget refuses. What the server would refuse too comes before what only a page can't do.
   */
  prepare(): Fail | undefined {
    const r = this.request, { platform, limits } = this.client;
    if (this.scope.cause) return this.scope.cause;
    const method = checkMethod(r.method);
    if (typeof method !== "string") return method;
    this.#method = this.entry.method = method;
    const u = parseURL(r.url);
    if (isFail(u)) return u;
    this.url = u;
    const expect = parseExpect(r.expect);
    if (isFail(expect)) return expect;
    this.#expect = expect;
    if (!/^(follow|manual|error)$/.test(r.redirect)) {
      return fail("invalid_request", `redirect mode ${quote(String(r.redirect))} is none; there are follow, manual and error`);
    }
    const header = requestHeader(r.headers, platform.defaults);
    if (isFail(header)) return header;
    const decision = this.#decide(method, u);
    if (isFail(decision)) return decision;
    const body = r.body ?? new Uint8Array(), length = Math.max(body.length, r.bodyLength ?? 0);
    if (length > limits.request_bytes) return fail("request_too_large", `request_bytes is ${limits.request_bytes}; the request's body has ${length}`);
    if (r.bodyStream) {
      if (body.length > 0) return fail("invalid_request", "the request has both a body and a body's stream");
      this.#upload = new Upload(r.bodyStream, limits.request_bytes, r.bodyLength ?? 0);
    }
    const hop = this.ready({ method, body, upload: this.#upload, number: 0, onward: false }, u, header);
    if (isFail(hop)) return hop;
    this.#first = hop;
    const over = this.session.budget.takeRequest();
    this.prepaid = !over;
    return over;
  }

  /** A hop to a URL, or why the policy doesn't allow it or a page can't send it. own is the guest's header, which it takes over. */
  ready(of: Pick<Hop, "method" | "body" | "upload" | "number" | "onward">, url: ParsedURL, own: Header): Hop | Fail {
    const { platform, secrets } = this.client;
    const decision = this.#decide(of.method, url);
    if (isFail(decision)) return decision;
    const secret = secrets.find(({ covers }) => covers(url));
    if (secret) return fail("browser_secret", `the fetch needs the secret ${quote(secret.name)}, whose value only a server has`);
    const forbidden = platform.forbidsHeaders ? forbiddenField(own) : undefined;
    if (forbidden) return fail("browser_header", `the header ${quote(forbidden)} can't be set by a page`);
    if (/^(GET|HEAD)$/.test(of.method) && (of.upload || of.body.length > 0)) {
      return fail("browser_body", `fetch() sends no body with ${of.method}`);
    }
    const header = new Map(own);
    this.cookies.add(url, header);
    return { ...of, url, own, header, decision };
  }

  /** Makes the fetch. */
  async run(): Promise<Outcome> {
    let h = this.#first;
    const collected = await this.#collect(h);
    if (collected) return this.reject(collected, h);
    for (;;) {
      const r = await retried(this, h);
      if (isFail(r)) {
        if (h.onward) this.hops--; // it was never sent
        return this.reject(r, h);
      }
      if (r.kind !== "redirect") return this.#answer(h, r);
      const next = nextHop(this, h, r);
      // A failure may quote a Location, in which an upstream may have sent back what it was sent.
      if (isFail(next)) return this.reject(fail(next.code, without(next.message, credentials(h.header))), h);
      h = next;
    }
  }

  origin(h: Hop): OriginState {
    return this.client.origin(h.url.origin);
  }

  /** Tells beforehand whether a body of that many bytes may be read. */
  fits(length: number): Fail | undefined {
    const most = this.client.limits.response_bytes;
    if (length > most) return fail("response_too_large", `response_bytes is ${most}; the response's body has ${length}`);
    return this.session.budget.fitsBytes(length);
  }

  /** Settles with an error. */
  reject(cause: Fail, h?: Hop): Outcome {
    return this.#settle({ state: cause.code === "cancelled" ? "cancelled" : "rejected", error: this.failure(h, cause) });
  }

  /** What the caller sees of a failure. */
  failure(h: Hop | undefined, cause: Fail): FetchFailure {
    const method = h ? (isIdempotent(h) ? "GET" : h.method) : this.#method;
    return { ...this.said(cause), url: this.url?.text ?? "", attempts: this.entry.attempts, retryable: retryable(cause.code, method) };
  }

  said(cause: Fail): Fail {
    return fail(cause.code, clean(cause.message));
  }

  /** Lets go of what a fetch holds when nothing of it goes on any more. */
  finish(): void {
    this.scope.close();
    if (this.#upload) this.#upload.close();
    else void this.request.bodyStream?.cancel().catch(() => {}); // refused before it was looked at
  }

  #decide(method: string, u: ParsedURL): Decision | Fail {
    const decision = this.client.policy.decide(method, u);
    this.entry.rule = decision.rule ?? "";
    return decision.allowed ? decision : fail(decision.code!, decision.reason);
  }

  /** Reads a body that came as a stream, where it can't be sent as one. It counts as begun: what both hosts do with it stays the same. */
  async #collect(h: Hop): Promise<Fail | undefined> {
    if (!h.upload || this.client.platform.streamsUploads) return undefined;
    this.session.note(unenforced.upload);
    const body = await h.upload.collect(this.scope);
    if (!isFail(body)) h.body = body;
    return isFail(body) ? body : undefined;
  }

  #answer(h: Hop, r: Reply): Outcome {
    const response: FetchResponse = {
      status: r.status, url: this.url!.text, redirected: this.hops > 0, attempts: this.entry.attempts,
      elapsedMs: milliseconds(performance.now() - this.#started), headers: r.fields, body: r.body, ...(r.stream && { stream: r.stream.readable }),
    };
    this.entry.bytes = r.body.length;
    if (this.request.stream && !r.stream) response.stream = whole(r.body);
    if (response.stream) response.body = new Uint8Array();
    if (isExpected(this.#expect, r.status)) return this.#settle({ state: "fulfilled", response }, r);
    const error = this.failure(h, fail("http_status", `the status is ${r.status}; expected was ${quote(this.request.expect)}`));
    return this.#settle({ state: "rejected", error: { ...error, retryable: this.retry.statuses.includes(r.status), response } }, r);
  }

  #settle(outcome: Outcome, r?: Reply): Outcome {
    const { entry } = this;
    entry.hops = this.hops;
    if (outcome.state !== "fulfilled") entry.fail = fail(outcome.error.code, outcome.error.message);
    entry.streaming = r?.stream !== undefined;
    entry.settle(outcome.state);
    this.#leaveGroup();
    if (r?.stream) {
      this.session.join();
      r.stream.adopt();
    } else this.finish();
    return outcome;
  }
}

/** The shorter of two durations of which 0 is none. */
function shorter(a: number, b: number): number {
  return a <= 0 || (b > 0 && b < a) ? b : a;
}

/** A body that is here as a stream. */
function whole(body: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (body.length > 0) controller.enqueue(body);
      controller.close();
    },
  });
}
