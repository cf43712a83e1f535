import { fail, type Fail } from "../policy/failure.js";
import type { Platform } from "./platform.js";
import { bounded } from "./text.js";
import { maxQuoted } from "./params.js";

/** Says what it means that fetch() or the reading of a body failed. phase is how far the exchange had come, as far as can be told. */
export function failed(platform: Platform, err: unknown, phase: "sending" | "receiving" | "body", coding: string): Fail {
  const detail = (text: string) => bounded(text, maxQuoted);
  if (!platform.explainsFailures) {
    if (phase === "body" && coding === "") return fail("read_error", "the connection broke before the response's end");
    if (phase === "body") return fail("browser_network", `the body ended early or is not valid ${detail(coding)}; a page isn't told which`);
    return fail("browser_network", "the browser's fetch failed; it doesn't tell a page why (name, connection, TLS, CORS, mixed content or a broken answer)");
  }
  const cause = rootOf(err), code = String(cause?.code ?? ""), message = detail(String(cause?.message || code || err));
  if (/^(ENOTFOUND|EAI_|EDNS|ENODATA|ESERVFAIL)/.test(code)) return fail("dns_error", `the name can't be resolved: ${code}`);
  if (/^UND_ERR_CONNECT_TIMEOUT$/.test(code)) return fail("connect_timeout", "no connection within the time that Node gives it");
  if (/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|EHOSTDOWN|ENETDOWN|ETIMEDOUT|EACCES|EMFILE)$/.test(code) || /^bad port$/.test(message)) {
    return fail("connect_error", `no connection: ${code || message}`);
  }
  if (/^(CERT_|ERR_TLS_|ERR_SSL_|EPROTO|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code)) return fail("tls_error", `the TLS handshake failed: ${message}`);
  if (/^(Z_|ERR__?ERROR_FORMAT|ERR_BROTLI|ERR_ZSTD|ERR_PADDING|ERR__)/.test(code)) {
    return fail("decode_error", `the body is not valid "${detail(coding)}": ${message}`);
  }
  if (/^(HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH|UND_ERR_RESPONSE)/.test(code) || message === "bad upgrade") {
    return fail("protocol_error", `the response is not valid HTTP: ${message}`);
  }
  if (/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(code)) return fail("read_timeout", "no byte arrived for as long as Node waits");
  if (cause?.syscall === "write" || code === "EPIPE" || (phase === "sending" && code === "ECONNRESET")) {
    return fail("write_error", `the connection broke while the request was sent: ${code}`);
  }
  return fail("read_error", `the connection broke before the response's end: ${message}`);
}

/** The innermost error of a chain of causes. */
function rootOf(err: unknown): { code?: unknown; message?: string; syscall?: string } | undefined {
  let at = err as { cause?: unknown; errors?: unknown[]; code?: unknown } | undefined;
  for (let depth = 0; depth < 5; depth++) {
    const next = at?.cause ?? (at?.code === undefined ? at?.errors?.[0] : undefined);
    if (typeof next !== "object" || next === null) break;
    at = next as typeof at;
  }
  return at as ReturnType<typeof rootOf>;
}
