// Calls of the server's own API.
import { credentials } from "./session";

/** A failure: the server's (RFC 9457), or that it couldn't be reached, whose code is then "unreachable". */
export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly detail: string,
    readonly status = 0,
  ) {
    super(detail);
    this.name = "Problem";
  }
}

export interface CallOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit;
  signal?: AbortSignal;
}

/** The answer, if it's not a failure. A redirect is one: nothing of ours redirects, and the token goes nowhere else. */
export async function send(path: string, options: CallOptions = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      ...options,
      headers: { ...options.headers, ...credentials() },
      credentials: "omit",
      redirect: "error",
      cache: "no-cache",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Problem("unreachable", "The server doesn't answer. Is it still running, and is there a network between it and this browser?");
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The answer's JSON. */
export async function get<T>(path: string, options?: CallOptions): Promise<T> {
  return (await (await send(path, options)).json()) as T;
}

/** What a failed answer says. */
export async function problemOf(response: Response): Promise<Problem> {
  try {
    const { code, detail } = (await response.json()) as { code?: unknown; detail?: unknown };
    if (typeof code === "string") return new Problem(code, String(detail), response.status);
  } catch {
    // it isn't one of ours
  }
  return new Problem(`http_${response.status}`, `Something answered ${response.status} that isn't the server; a proxy in between perhaps.`, response.status);
}

/** The path of a plugin's resource below /v1. */
export function ofPlugin(name: string, ...rest: (string | number)[]): string {
  return ["/v1/plugins", name, ...rest].map((part, i) => (i === 0 ? part : encodeURIComponent(part))).join("/");
}
