import { fail, isFail, type Fail } from "../policy/failure.js";
import { isLocalhost } from "../policy/index.js";
import { parseURL } from "../policy/url.js";
import { codingsOf, discard, hasNoBody, ResponseBody } from "./body.js";
import { unenforced } from "./codes.js";
import { failed } from "./failed.js";
import type { Flight, Hop } from "./flight.js";
import { guestFields, responseFields } from "./header.js";
import type { Trace } from "./record.js";
import { judge, type Verdict } from "./retry.js";
import { Scope, stops } from "./scope.js";
import { BodyStream } from "./stream.js";
import { toFieldBytes } from "./text.js";
import type { Field } from "./types.js";
import { Watch } from "./watch.js";

/** A response whose head was judged. */
export interface Reply extends Verdict {
  status: number;
  headers: Headers;
  fields: Field[]; // as the guest gets them
  body: Uint8Array; // of the answer
  stream?: BodyStream; // in place of body
}

/** One request and its response: one attempt at one hop, in slots that are held. */
export class Exchange {
  readonly scope: Scope;
  readonly watch: Watch;
  received = 0; // bytes of the body as it came, as far as can be told
  readonly #controller = new AbortController();

  constructor(readonly flight: Flight, parent: Scope, readonly hop: Hop, readonly trace: Trace | undefined) {
    const { limits } = flight.client;
    this.scope = new Scope(parent);
    if (flight.attemptTimeout > 0) this.scope.endAfter(flight.attemptTimeout, stops.attempt(flight.attemptTimeout));
    this.watch = new Watch(this.scope, { read: limits.read_timeout, write: limits.write_timeout });
    this.scope.onEnd(() => this.#controller.abort());
  }

  /** Sends the request. What comes of it has been counted; only a stream is still under way. */
  async send(): Promise<Reply | Fail> {
    // A name's addresses are the browser's to know; those that need no resolver are looked at just before they would be dialled.
    const reply = this.flight.client.policy.address(this.hop.decision, this.hop.url) ?? (await this.#run());
    if (isFail(reply)) this.end(reply);
    else if (!reply.stream) this.end(undefined, reply.body.length);
    return reply;
  }

  /** Lets go of what the exchange holds, and completes its record. decoded is the body's length. */
  end(cause?: Fail, decoded = 0): void {
    this.watch.stop();
    this.trace?.end(cause?.code, this.hop.upload?.sent ?? this.hop.body.length, Math.max(this.received, 0), decoded);
    if (cause) this.#controller.abort(); // what came of it isn't wanted any more
    this.scope.close();
  }

  async #run(): Promise<Reply | Fail> {
    const { flight, hop, scope } = this, { platform, session } = { platform: flight.client.platform, session: flight.session };
    if (!hop.url.addr && !isLocalhost(hop.url.host)) session.note(unenforced.address);
    let response: Response | Fail;
    try {
      this.watch.begin(hop.upload !== undefined && platform.streamsUploads);
      this.trace?.called();
      response = await scope.race(platform.fetch(hop.url.text, this.#init()), (late) => void late.body?.cancel().catch(() => {}));
    } catch (err) {
      return scope.cause ?? failed(platform, err, hop.upload && !hop.upload.untouched ? "sending" : "receiving", "");
    }
    if (isFail(response)) return response;
    this.watch.begin(false);
    if (response.type === "opaqueredirect") return this.#opaque();
    if (response.type === "error" || response.status === 0) return failed(platform, new Error("error response"), "receiving", "");
    this.trace?.head(response.status);
    flight.entry.status = response.status;
    const fields = responseFields(response.headers);
    if (isFail(fields)) return fields;
    if (this.trace && session.keep(fields)) this.trace.response = fields;
    const moved = !platform.seesRedirects && response.redirected ? this.#followed(response.url) : undefined;
    if (moved) return moved;
    const verdict = judge(flight, hop, response);
    if (verdict.kind !== "final") {
      await discard(this, response);
      return { ...verdict, status: response.status, headers: response.headers, fields, body: new Uint8Array() };
    }
    return this.#answer(response, fields, verdict);
  }

  /** Gets the body of a response that is the answer. */
  async #answer(response: Response, fields: Field[], verdict: Verdict): Promise<Reply | Fail> {
    const { flight, hop } = this, { platform } = flight.client;
    const reply: Reply = { ...verdict, status: response.status, headers: response.headers, fields: guestFields(fields, false), body: new Uint8Array() };
    const codings = codingsOf(response.headers.get("content-encoding"), platform.codings);
    if (isFail(codings)) return codings;
    if (hasNoBody(hop.method, response.status)) return reply;
    if (codings !== "") flight.session.note(unenforced.coding);
    reply.fields = guestFields(fields, codings !== "");
    const length = Number(response.headers.get("content-length") ?? -1);
    // An answer of another origin doesn't show its codings unless it says so, and then its length may be that of the encoded body.
    const hidden = platform.name === "browser" && response.type !== "basic";
    if (length >= 0 && codings === "" && !hidden) {
      const over = flight.fits(length);
      if (over) return over;
    }
    const body = new ResponseBody(this, response, codings, codings === "" ? -1 : length);
    if (flight.request.stream) {
      if (hidden) reply.fields = guestFields(fields, true);
      this.watch.pause();
      reply.stream = new BodyStream(this, body);
      return reply;
    }
    const all = await body.readAll();
    if (isFail(all)) return all;
    if (hidden && length !== all.length) reply.fields = guestFields(fields, true);
    return { ...reply, body: all };
  }

  /** A page that doesn't follow isn't shown where it would. */
  #opaque(): Fail {
    switch (this.flight.request.redirect) {
      case "error": return fail("redirect_blocked", "the response redirects, and the request says not to follow");
      case "manual": return fail("browser_redirect", "the response redirects, and a page is shown neither its status nor where to");
      default: return fail("too_many_redirects", "redirects is 0, and the response redirects once more");
    }
  }

  /** The browser has followed redirects by itself. Where they ended has to be allowed; at least one more request went out. */
  #followed(to: string): Fail | undefined {
    const { flight, hop } = this, { session, client } = flight;
    session.note(unenforced.redirect);
    const u = parseURL(to);
    if (isFail(u)) return u;
    flight.url = u;
    flight.hops = 1;
    const decision = client.policy.decide(hop.method, u);
    flight.entry.rule = decision.rule ?? "";
    if (!decision.allowed) return fail(decision.code!, decision.reason);
    return client.policy.address(decision, u) ?? session.budget.takeRequest();
  }

  #init(): RequestInit & { duplex?: "half" } {
    const { flight, hop } = this, { platform, limits } = flight.client;
    const headers = [...hop.header].flatMap(([name, values]) => values.map((value): Field => [name, toFieldBytes(value)]));
    const follows = !platform.seesRedirects && flight.request.redirect === "follow" && limits.redirects > 0;
    const init: RequestInit & { duplex?: "half" } = {
      ...platform.init, method: hop.method, headers, redirect: follows ? "follow" : "manual", signal: this.#controller.signal,
    };
    if (hop.upload && platform.streamsUploads) { // else it was collected
      if (hop.upload.length > 0) headers.push(["content-length", String(hop.upload.length)]);
      return { ...init, body: hop.upload.send(this.scope, this.watch), duplex: "half" };
    }
    if (hop.body.length > 0) init.body = hop.body as BufferSource;
    return init;
  }
}
