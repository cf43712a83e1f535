/**
 * The fetch engine of the browser host: the server's (host/fetch) over fetch(). The same request under the same policy has the same
 * outcome, code, counting and record, but for what fetch() hides:
 *
 * - Addresses behind names, the hops of redirects (in a page), secrets, forbidden fields, bodies of GET: see codes.ts.
 * - When there is a connection, and when a request is out. So `connect_timeout` isn't held to; `read_timeout` runs from the call to the
 *   head, connecting included; `write_timeout` only while a streamed body goes out. A record's phases are blocked, wait and receive.
 * - A kept-alive connection that breaks before an answer isn't told from one that broke later, so nothing is repeated within its slots.
 * - Fields that came more than once are joined with ", ", all but Set-Cookie.
 * - Codings are undone by the platform: what isn't valid is decode_error in Node, browser_network in a page, and what ends early may pass
 *   (code browser_coding). Node undoes no zstd; a body that comes in it all the same is left so.
 * - Node takes 16 KiB of a response's header, and sends Accept-Language and Sec-Fetch-Mode of its own.
 */
import type { Manifest, Operator, OperatorInput } from "../manifest/index.js";
import { Client } from "./client.js";
import { detectPlatform, type Platform } from "./platform.js";

export { Client } from "./client.js";
export { codes, idempotent, retryable, unenforced } from "./codes.js";
export { checkGroup } from "./group.js";
export { detectPlatform, nodePlatform, pagePlatform, type Platform } from "./platform.js";
export * from "./types.js";

/** A client for a manifest's policy. Throws an Error on a rule or an operator's pattern that can't be read. */
export function createClient(manifest: Pick<Manifest, "fetch" | "secrets">, operator?: Operator | OperatorInput, platform: Platform = detectPlatform()): Client {
  return new Client(manifest, operator, platform);
}
