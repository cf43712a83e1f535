import { isFail, type Fail } from "../policy/failure.js";
import { Exchange, type Reply } from "./exchange.js";
import { idempotent, retryable } from "./codes.js";
import type { Flight, Hop } from "./flight.js";
import { Scope, stops, timer } from "./scope.js";
import { acquireAll } from "./slots.js";
import { fromFieldBytes } from "./text.js";

/** What becomes of a response. */
export interface Verdict {
  kind: "final" | "redirect" | "again"; // it is the answer; it names the next hop; it asks for another attempt, and there is one
  location: string; // with redirect
  delay: number; // ms, with again: how long to wait before
}

/** Whether sending a hop's request twice does what sending it once does. */
export function isIdempotent(h: Hop): boolean {
  return idempotent(h.method) || h.header.has("idempotency-key"); // draft-ietf-httpapi-idempotency-key-header
}

/** Sends a hop's request until there is an answer, an error that no attempt would change, or no attempt left. Attempts are the fetch's, over all hops. */
export async function retried(f: Flight, h: Hop): Promise<Reply | Fail> {
  for (;;) {
    const r = await hedged(f, h);
    let delay: number;
    if (isFail(r)) {
      if (!mayRepeat(f, h, r)) return r;
      delay = backoff(f);
      if (!hasTimeFor(f, delay) || !f.origin(h).mayRetry()) return r;
    } else if (r.kind === "again") delay = r.delay;
    else return r;
    f.tries++;
    f.entry.state = "pending";
    if (delay > 0) await f.scope.wait(delay); // without any slot
    if (f.scope.cause) return f.scope.cause;
  }
}

/** Says what becomes of a response, by its head alone: a body is read only where somebody gets it. */
export function judge(f: Flight, h: Hop, response: Response): Verdict {
  const verdict: Verdict = { kind: "final", location: "", delay: 0 }, status = response.status;
  if (/^30[12378]$/.test(String(status)) && f.request.redirect !== "manual") {
    const location = response.headers.get("location");
    // A lone surrogate stands for what isn't UTF-8, which no URL is.
    if (f.request.redirect === "error" || location !== null) return { ...verdict, kind: "redirect", location: fromFieldBytes(location ?? "", "\ud800") };
  }
  if (!f.retry.statuses.includes(status) || !isIdempotent(h) || f.tries >= f.retry.attempts) return verdict;
  const delay = retryAfter(response.headers.get("retry-after")) ?? backoff(f);
  // The body is taken back last, since then it can't be sent any more.
  if (hasTimeFor(f, delay) && (!h.upload || h.upload.untouched) && f.origin(h).mayRetry() && (!h.upload || h.upload.reclaim())) {
    return { ...verdict, kind: "again", delay };
  }
  return verdict;
}

/** Whether a failure may be followed by another attempt. */
function mayRepeat(f: Flight, h: Hop, failure: Fail): boolean {
  if (f.tries >= f.retry.attempts || !isIdempotent(h) || (h.upload && !h.upload.reclaim())) return false;
  if (failure.code === "pool_timeout") return false; // nothing was tried: the host itself is short of something
  return retryable(failure.code, "GET") || failure.again === true;
}

/** The wait before the next attempt, in ms: exponential, with full jitter, so that those who failed together don't come back together. */
function backoff(f: Flight): number {
  const most = Math.min(f.retry.backoffMs * 2 ** (f.tries - 1), f.retry.maxBackoffMs);
  return Math.random() * most;
}

/** Whether the fetch would still have time after waiting so long. */
function hasTimeFor(f: Flight, delay: number): boolean {
  return delay < f.scope.deadline - performance.now();
}

/** Reads Retry-After in both its forms (RFC 9110, section 10.2.3), in ms. What can't be read wasn't given. */
function retryAfter(text: string | null): number | undefined {
  if (!text) return undefined;
  if (/^\d+$/.test(text) && Number(text) < 2 ** 31) return Number(text) * 1000;
  const at = /^\w{3,9}, \d\d[ -]\w{3}[ -]\d{2,4} [\d:]{8} GMT$/.test(text) ? text : /^\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$/.test(text) ? text + " GMT" : "";
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? undefined : Math.max(ms - Date.now(), 0);
}

/** An attempt that may run beside another, in a scope of its own: the winner's body may be read on when the loser's is over. */
function attempt(f: Flight, h: Hop, hedge: boolean) {
  const scope = new Scope(f.scope);
  const done = exchange(f, scope, h, hedge).then((reply) => {
    if (isFail(reply) || !reply.stream) scope.close();
    return { reply, hedge };
  });
  return { scope, done };
}

/**
 * Sends a hop's request, and once more if there is no answer after the hedge delay. The first answer wins and the other attempt is
 * cancelled; both are counted. A failed attempt waits for the other.
 */
async function hedged(f: Flight, h: Hop): Promise<Reply | Fail> {
  const delay = hedgeDelay(f, h);
  if (delay <= 0) return exchange(f, f.scope, h, false);
  const first = attempt(f, h, false);
  let stop = () => {};
  const late = new Promise<undefined>((resolve) => (stop = timer(delay, () => resolve(undefined))));
  const early = await Promise.race([first.done, late]);
  stop();
  if (early) return early.reply;
  if (!f.origin(h).mayRetry()) return (await first.done).reply; // a hedge is a retry that doesn't wait
  const second = attempt(f, h, true);
  const one = await Promise.race([first.done, second.done]), other = one.hedge ? first : second;
  if (isGood(one.reply)) {
    other.scope.end(stops.hedge);
    const { reply } = await other.done;
    if (!isFail(reply)) reply.stream?.abandon();
    return one.reply;
  }
  const { reply } = await other.done;
  if (isGood(reply)) return reply;
  // Of two failures the first attempt's counts; a response is better than none.
  const a = one.hedge ? reply : one.reply, b = one.hedge ? one.reply : reply;
  if (isFail(one.reply) !== isFail(reply)) return isFail(one.reply) ? reply : one.reply;
  return isFail(a) ? a : one.reply === b ? b : a;
}

/** Whether the other attempt isn't needed any more. */
function isGood(reply: Reply | Fail): boolean {
  return !isFail(reply) && reply.kind !== "again";
}

/** How long the first attempt has, in ms, before a second one goes out beside it; 0: there is none. */
function hedgeDelay(f: Flight, h: Hop): number {
  const delay = f.request.hedgeMs || f.client.hedge;
  if (delay === 0 || h.upload || !isIdempotent(h)) return 0;
  return delay === "p95" ? f.origin(h).p95() : delay;
}

/** Sends a hop's request, as one attempt. It is charged to the budget, unless the first charge was made beforehand, and waits for its slots. */
async function exchange(f: Flight, scope: Scope, h: Hop, hedge: boolean): Promise<Reply | Fail> {
  const { client, session, entry } = f, origin = f.origin(h);
  if (hedge || !f.prepaid) {
    const over = session.budget.takeRequest();
    if (over) return over;
  } else f.prepaid = false;
  const trace = session.trace(entry, h, hedge);
  const waiting = new Scope(scope);
  waiting.endAfter(client.limits.pool_timeout, stops.pool(client.limits.pool_timeout));
  let release = await acquireAll([session.slots, origin.slots, client.slots], waiting);
  waiting.close();
  // What ends many fetches reaches one after the other, and a slot may have passed to one before it reached that.
  if (scope.cause && !isFail(release)) {
    release();
    release = scope.cause;
  }
  if (isFail(release)) {
    session.budget.refundRequest();
    trace?.end(release.code);
    return release;
  }
  entry.run();
  if (h.onward) h.onward = false; // the first request of a later hop goes on with the attempt of the one before
  else entry.attempts++;
  if (trace) trace.attempt = entry.attempts;
  if (f.tries === 1 && !hedge) origin.requested();
  const start = performance.now();
  const reply = await new Exchange(f, scope, h, trace).send();
  if (!isFail(reply)) origin.answered(performance.now() - start);
  if (!isFail(reply) && reply.stream) reply.stream.release = release;
  else release();
  return reply;
}
