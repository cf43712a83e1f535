import type { GuestResponse } from "../guest/call.js";
import type { Field } from "../fetch/types.js";

/** Decided by whoever sends the response, never by who wrote it (RFC 9110, sections 7.6.1 and 8.6; RFC 9112). */
const connectionFields = new Set(["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]);

/** How long what was written before a failure may still be read, in ms. */
const grace = 1000;

/** A guest's answer on its way to who asked: whole, or as it is written. */
export class Answer {
  private readonly bodiless: boolean;
  private readonly over: Promise<void>; // all was read, or nobody wants it
  private done!: () => void;
  private readonly reported: Promise<void>;
  /** To be called when the report is there: who has read all can have it. */
  settle!: () => void;

  constructor(
    private readonly response: GuestResponse,
    method: string,
    private readonly invocation: string,
    private readonly gone: () => void,
  ) {
    this.bodiless = method === "HEAD" || [204, 205, 304].includes(response.status);
    this.over = new Promise((done) => (this.done = done));
    this.reported = new Promise((settle) => (this.settle = settle));
  }

  /** Gives a streamed response, unless it has no body: then the head is all there is, and isn't given before the guest has ended well. */
  begin(begun: (response: Response) => void): void {
    const queue = this.response.stream!;
    if (this.bodiless) {
      void (async () => {
        while (await queue.next());
      })().catch(() => {}).finally(this.done);
      return;
    }
    const body = queue.stream((gone) => {
      if (gone) this.gone();
      this.done();
      return this.reported;
    });
    begun(this.made(body));
  }

  /** The response without a body. */
  empty(): Response {
    return this.made(null);
  }

  /** A response that has its body. */
  whole(timing: string): Response {
    const response = this.made(this.bodiless ? null : (this.response.body as Uint8Array<ArrayBuffer>));
    response.headers.append("Server-Timing", timing);
    return response;
  }

  private made(body: BodyInit | null): Response {
    const headers = new Headers(this.response.headers.filter(sendable) as [string, string][]);
    headers.set("Sortie-Invocation", this.invocation);
    return new Response(body, { status: this.response.status, headers });
  }

  /** Resolves when all has been read, or the signal aborts. */
  async sent(end: AbortSignal): Promise<void> {
    if (end.aborted) return;
    await Promise.race([this.over, new Promise((resolve) => end.addEventListener("abort", resolve, { once: true }))]);
  }

  /** The answer isn't whole: its body ends with the error, after what there was if that is read soon. */
  fail(error: unknown): void {
    const queue = this.response.stream!;
    queue.end({ error });
    setTimeout(() => queue.fail({ error }), grace);
  }
}

/** What a plugin can set. Names and values have been checked by the ABI. */
function sendable([name]: Field): boolean {
  const lower = name.toLowerCase();
  return !lower.startsWith("sortie-") && !connectionFields.has(lower);
}
