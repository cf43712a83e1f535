/**
 * Extism's own HTTP, through our engine: what the PDKs document, but that a failure is offset 0 with status 0 where Extism's host would
 * trap. See host/internal/abi/extism_http.go.
 */
import type { FetchRequest, Field, Outcome } from "../fetch/types.js";
import type { Asked } from "./abi.js";
import type { Answer, Call } from "./call.js";
import { warn } from "./log.js";
import { Encoder, textOf } from "./wire.js";
import { maxHTTPJSON } from "./limits.js";

/** http_request: JSON, body -> status, and the fields as a JSON object `string`, then the body; status 0 if it failed */
export async function httpRequest(c: Call, { bytes, more }: Asked): Promise<Answer | undefined> {
  const session = c.session;
  const failed: Answer = { result: 0 };
  if (!session) return failed;
  const request = readRequest(c, bytes);
  if (!request) return failed;
  const asked = request.url;
  if (more.length > 0) request.body = more;
  const outcome = await c.blocking(new Promise<Outcome>((done) => session.start(request, done)));
  if (!outcome || c.stopped) return undefined;
  if (outcome.state === "fulfilled") {
    const { status, headers, body } = outcome.response;
    return { result: status, bytes: new Encoder().string(JSON.stringify(joined(headers))).raw(body).done() };
  }
  // What is in front of an "@" may be a password.
  const at = asked.lastIndexOf("@");
  c.log.add(warn, `http_request ${at < 0 ? asked : "…" + asked.slice(at)}: ${outcome.error.code}: ${outcome.error.message}`);
  return failed;
}

/** What the PDKs send: extism_manifest's HttpRequest, whose older form says "header". */
function readRequest(c: Call, bytes: Uint8Array): FetchRequest | undefined {
  if (bytes.length > maxHTTPJSON) {
    c.log.add(warn, `http_request: invalid_request: the request has ${bytes.length} bytes, at most ${maxHTTPJSON} are taken`);
    return undefined;
  }
  try {
    const q = JSON.parse(textOf(bytes)) as Record<string, unknown>;
    const text = (v: unknown) => (typeof v === "string" ? v : v === undefined || v === null ? "" : fault());
    const headers = [q.headers, q.header].flatMap((fields) =>
      Object.entries(fields ?? {})
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]): Field => [name, text(value)]),
    );
    return {
      method: text(q.method).toUpperCase(), url: text(q.url), headers, stream: false, redirect: "follow", expect: "",
      timeoutMs: 0, attemptTimeoutMs: 0, hedgeMs: 0,
    };
  } catch (e) {
    c.log.add(warn, `http_request: invalid_request: the request isn't the JSON that Extism's PDKs send: ${(e as Error).message}`);
    return undefined;
  }
}

function fault(): never {
  throw new TypeError("a value is no string");
}

/** The fields by lower-case name; several of one name in one. */
function joined(headers: Field[]): Record<string, string> {
  const out: Record<string, string> = Object.create(null);
  for (const [name, value] of headers) {
    out[name] = name in out ? `${out[name]}, ${value}` : value;
  }
  return out;
}
