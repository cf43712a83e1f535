import { operatorOf, parseDuration, type FetchLimits, type Manifest, type Operator, type OperatorInput, type RetryPolicy } from "../manifest/index.js";
import { Policy } from "../policy/index.js";
import { compilePatterns } from "../policy/patterns.js";
import type { ParsedURL } from "../policy/url.js";
import { unenforced } from "./codes.js";
import { OriginState } from "./origin.js";
import type { Platform } from "./platform.js";
import { Session } from "./session.js";
import { Slots } from "./slots.js";

const maxIdleOrigins = 256; // kept while nobody uses them; past those, one is forgotten when it isn't used

/** One policy, what its sessions may fetch and how much. Sessions share nothing but the slots of origins and of the client. */
export class Client {
  readonly policy: Policy;
  readonly limits: FetchLimits;
  readonly retry: RetryPolicy;
  readonly hedge: number | "p95"; // ms; 0: never
  readonly secrets: { name: string; covers: (u: ParsedURL) => boolean }[];
  readonly secretFields: string[]; // in lower case
  readonly slots: Slots;
  readonly unenforced: string[] = []; // whatever is fetched
  readonly #perOrigin: number;
  readonly #origins = new Map<string, OriginState>();

  constructor(manifest: Pick<Manifest, "fetch" | "secrets">, operator: Operator | OperatorInput | undefined, readonly platform: Platform) {
    const op = operatorOf(operator), { fetch, secrets } = manifest;
    this.policy = new Policy(manifest, op);
    this.limits = fetch.limits;
    this.retry = fetch.retry;
    this.hedge = fetch.hedge === "p95" ? "p95" : parseDuration(fetch.hedge || "0");
    // Where a secret without `allow` may go is the operator's to know, and so nobody's here: it may be wanted anywhere.
    this.secrets = secrets.map(({ name, allow }) => ({ name, covers: allow.length > 0 ? compilePatterns(allow) : () => true }));
    this.secretFields = secrets.map(({ header }) => header.toLowerCase());
    this.slots = new Slots(op.process.fetches);
    this.#perOrigin = op.process.per_origin;
    if (fetch.cache.bytes > 0) this.unenforced.push(unenforced.cache);
    if (op.upstreams.length > 0) this.unenforced.push(unenforced.upstreams);
  }

  /** Begins a session, which must be closed. */
  session(): Session {
    return new Session(this);
  }

  origin(name: string): OriginState {
    let origin = this.#origins.get(name);
    if (!origin) {
      if (this.#origins.size >= maxIdleOrigins) for (const [known, state] of this.#origins) if (state.idle) this.#origins.delete(known);
      origin = new OriginState(this.#perOrigin);
      this.#origins.set(name, origin);
    }
    return origin;
  }
}
