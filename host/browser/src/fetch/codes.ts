/**
 * Codes of failures. The first ones are the contract's, with the same meaning as on the server (host/fetch/failure). Never met here:
 * connect_timeout in a page, proxy_error, rate_limited, circuit_open. The browser's own are for what a page can't do.
 */

type Retryable = "never" | "always" | "idempotent" | "status";

const classes: [Retryable, string][] = [
  ["never", "invalid_url unsupported_protocol invalid_request"],
  ["never", "host_denied method_denied address_denied"],
  ["never", "limit_requests limit_bytes request_too_large response_too_large"],
  ["always", "dns_error connect_error connect_timeout proxy_error"],
  ["never", "tls_error"],
  ["idempotent", "write_timeout write_error read_timeout read_error protocol_error"],
  ["never", "decode_error"],
  ["always", "pool_timeout rate_limited circuit_open"],
  ["never", "too_many_redirects redirect_blocked"],
  ["status", "http_status"],
  ["never", "timeout cancelled"],
  // What a page can't do:
  ["never", "browser_header"], // set a field that fetch() forbids
  ["never", "browser_body"], // send a body with GET or HEAD, which fetch() refuses
  ["never", "browser_redirect"], // see a redirect that it doesn't follow
  ["never", "browser_secret"], // have the value of a secret that this fetch would carry
  ["idempotent", "browser_network"], // learn why its fetch failed
];

const table = new Map(classes.flatMap(([retryable, names]) => names.split(" ").map((name) => [name, retryable] as const)));

/** Every code of a fetch, in the order of the contract, the browser's own last. */
export const codes: string[] = [...table.keys()];

/** What the engine reports as not enforced. */
export const unenforced = {
  address: "browser_address", // what a name resolves to can't be seen, so private addresses behind names are reached
  redirect: "browser_redirect", // a page follows by itself: only the final URL was held to the policy, and one hop counted
  coding: "browser_coding", // the platform has undone a body's coding by its own rules: what is cut short, or followed by more, may have passed
  upload: "browser_upload", // a request body that came as a stream was collected before it was sent
  cache: "browser_cache", // the manifest asks for a cache, and there is none
  upstreams: "browser_upstreams", // the operator has upstreams (breaker, rate, proxy, …), and they have no effect
} as const;

/**
 * Whether a request that failed so may be sent again. Where it may have reached the other side, only idempotent methods may. http_status is
 * false here: the status decides.
 */
export function retryable(code: string, method: string): boolean {
  const kind = table.get(code);
  return kind === "always" || (kind === "idempotent" && idempotent(method));
}

/** Whether repeating a request has the effect of sending it once (RFC 9110, section 9.2.2). */
export function idempotent(method: string): boolean {
  return /^(GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$/.test(method);
}
