/** What comes in: a Request as the guest sees it. */
import type { Field } from "../fetch/types.js";
import { requestHead } from "../guest/stub.js";
import { unknownLength } from "../guest/wire.js";
import { formatBytes } from "../manifest/index.js";
import { SortieError } from "./problem.js";

/** The request's head but for the time left, for a body of so many bytes. */
export function headOf(request: Request, length: number): Uint8Array {
  const url = new URL(request.url);
  return requestHead({ method: request.method, path: url.pathname, query: url.search.slice(1), host: url.host, headers: shown(request.headers), length });
}

/** Our own fields are not the plugin's to read. */
function shown(headers: Headers): Field[] {
  return [...headers].filter(([name]) => !name.startsWith("sortie-"));
}

/** A body's length as its sender announced it. */
export function announced(request: Request): number {
  const length = request.headers.get("content-length");
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : request.body ? unknownLength : 0;
}

/** The body of at most limit bytes. Throws limit_input, or what the body fails with. */
export async function whole(body: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const reader = body && bounded(body, limit).getReader();
  for (;;) {
    const part = reader ? await reader.read() : undefined;
    if (!part || part.done) break;
    parts.push(part.value);
  }
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A body that fails with limit_input after so many bytes. */
export function bounded(body: ReadableStream<Uint8Array>, limit: number): ReadableStream<Uint8Array> {
  let left = limit;
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        if (value.length > left) {
          const error = new SortieError("limit_input", `the request's body is larger than limits.input, ${formatBytes(limit)}`);
          controller.error(error);
          void reader.cancel(error).catch(() => {});
          return;
        }
        left -= value.length;
        controller.enqueue(value);
      },
      cancel: (why) => reader.cancel(why),
    },
    { highWaterMark: 0 },
  );
}

