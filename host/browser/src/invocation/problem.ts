/** Failures of invocations and of load, with the contract's codes; answers as RFC 9457 has them. See server/problem.go. */

const problems: Record<string, [status: number, title: string]> = {
  invalid_manifest: [422, "Invalid manifest"],
  invalid_wasm: [422, "Invalid WebAssembly module"],
  plugin_error: [500, "The plugin failed"],
  plugin_trapped: [500, "The plugin crashed"],
  limit_input: [413, "Request body over the limit"],
  limit_cpu: [500, "CPU limit reached"],
  limit_memory: [500, "Memory limit reached"],
  limit_output: [500, "Response over the limit"],
  limit_wall: [504, "Time limit reached"],
  internal_error: [500, "Internal error"],
  overloaded: [503, "Overloaded"],
  draining: [503, "Shutting down"],
  cancelled: [499, "The client went away"], // for the report alone: nobody is answered
};

/** What load throws, and what the body of an answer that has failed after its head ends with. The code is one of the contract's. */
export class SortieError extends Error {
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "SortieError";
  }

  /** The HTTP status that goes with the code. */
  get status(): number {
    return problems[this.code]?.[0] ?? 500;
  }

  /** The message, under the name that problem answers have for it. */
  get detail(): string {
    return this.message;
  }
}

/** The answer that says why there is none. */
export function problem(error: SortieError, invocation: string): Response {
  const { code, status, detail } = error;
  const body = { type: `urn:sortie:problem:${code}`, title: problems[code]?.[1] ?? "Internal error", status, detail, code, invocation };
  const headers = new Headers({
    "Content-Type": "application/problem+json",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Sortie-Error": code,
    "Sortie-Invocation": invocation,
  });
  if (status === 503) headers.set("Retry-After", "1");
  return new Response(JSON.stringify(body), { status, headers });
}
