import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { createClient, nodePlatform, type Client, type FetchFailure, type FetchRequest, type FetchResponse, type Outcome, type Platform, type Session } from "../src/fetch/index.js";
import { parseManifest } from "../src/manifest/index.js";

export type { IncomingMessage, ServerResponse };

/** A server on a loopback address, closed with the test. */
export class Upstream {
  readonly requests: { method: string; path: string; headers: NodeJS.Dict<string | string[]> }[] = [];
  aborted = 0; // requests whose connection ended before their answer did
  #waiting: (() => void)[] = [];

  private constructor(readonly server: Server) {}

  static async open(t: TestContext, handler: RequestListener): Promise<Upstream> {
    const up: Upstream = new Upstream(createServer((req, res) => {
      up.requests.push({ method: req.method!, path: req.url!, headers: req.headers });
      res.on("close", () => {
        if (!res.writableFinished) up.aborted++;
        up.#changed();
      });
      up.#changed();
      handler(req, res);
    }));
    await new Promise<void>((resolve) => up.server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      up.server.close();
      up.server.closeAllConnections();
    });
    return up;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Waits until something that requests change is so, 5 s at most. */
  async until(so: () => boolean): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#changed();
    }, 5000);
    while (!so() && !late) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    clearTimeout(timer);
    assert(!late, `still not so: ${so}; ${this.requests.length} requests, ${this.aborted} aborted`);
  }

  #changed(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Where private addresses may be reached, as an operator who tests says. */
export const operator = { private: ["127.0.0.0/8", "::1"] };

/** A client that may fetch anything on this machine, and a session of it, closed with the test. */
export function bench(t: TestContext, fetch: object = {}, platform: Platform = nodePlatform(), more: object = {}): Bench {
  const { manifest } = parseManifest({ fetch: { allow: [{ url: "http://*:*", private: true }, "https://*"], ...fetch }, ...more }, operator);
  const client = createClient(manifest, operator, platform), session = client.session();
  t.after(() => session.close());
  return new Bench(client, session);
}

export class Bench {
  constructor(readonly client: Client, readonly session: Session) {}

  /** Makes a first fetch, so that the time of the next isn't spent on loading and connecting. */
  async warm(url: string): Promise<void> {
    const session = this.client.session();
    await new Promise((resolve) => session.start(request({ url: url + "/warm", timeoutMs: 5000 }), resolve));
    await session.close();
  }

  go(of: Partial<FetchRequest> & { url: string }): Promise<Outcome> {
    return new Promise((resolve) => this.session.start(request(of), resolve));
  }

  /** The response of a fetch that has to have one. */
  async ok(of: Partial<FetchRequest> & { url: string }): Promise<FetchResponse> {
    const outcome = await this.go(of);
    assert(outcome.state === "fulfilled", JSON.stringify(outcome));
    return outcome.response;
  }

  /** The error of a fetch that has to have one of this code. */
  async fails(code: string, of: Partial<FetchRequest> & { url: string }): Promise<FetchFailure> {
    const outcome = await this.go(of);
    return failedWith(code, outcome);
  }
}

export function failedWith(code: string, outcome: Outcome): FetchFailure {
  assert(outcome.state !== "fulfilled", `fulfilled, want ${code}`);
  assert.equal(outcome.error.code, code, outcome.error.message);
  assert.equal(outcome.state, code === "cancelled" ? "cancelled" : "rejected");
  return outcome.error;
}

export function request(of: Partial<FetchRequest> & { url: string }): FetchRequest {
  return { method: "", headers: [], stream: false, timeoutMs: 0, attemptTimeoutMs: 0, hedgeMs: 0, redirect: "follow", expect: "", ...of };
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** A stream of pieces; waits before the piece that is a promise. */
export function streamOf(...pieces: (string | Promise<string>)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const piece = await pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(piece));
    },
  }, { highWaterMark: 0 });
}
