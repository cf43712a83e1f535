import { detectPlatform, createClient } from "../fetch/index.js";
import type { Platform } from "../fetch/index.js";
import type { LogLine } from "../guest/log.js";
import type { LinkKind, Plan } from "../guest/protocol.js";
import type { Clamp, Manifest, OperatorInput } from "../manifest/index.js";
import { InlineCell, WorkerCell } from "./cell.js";
import { Invocation } from "./invocation.js";
import type { Shared } from "./invocation.js";
import { Pool } from "./pool.js";
import { SortieError } from "./problem.js";
import type { Report } from "./report.js";

/** How guests run: suspended in a worker (JSPI), blocking one (Atomics), or on the calling thread (JSPI). */
export type Mode = "jspi" | "atomics" | "inline";

/** What a Plugin is made of. */
export interface Parts {
  manifest: Manifest;
  clamped: Clamp[];
  operator: OperatorInput | undefined;
  module: WebAssembly.Module;
  plan: Plan;
  mode: Mode;
  concurrency: number;
  fetch: typeof fetch | undefined;
  workerURL: string | URL | undefined;
  baseURL: string | URL | undefined;
  log: ((line: LogLine) => void) | undefined;
}

/** A plugin that can be called. Several invocations may run at once; each has an instance of its own. */
export class Plugin {
  /** The manifest as it counts, with every default filled in; durations in milliseconds, sizes in bytes. */
  readonly manifest: Manifest;
  /** What the operator's ceilings cut down. */
  readonly clamped: Clamp[];
  readonly kind: "http" | "raw";
  readonly mode: Mode;
  /** The report of the invocation that ended last. */
  lastReport: Report | undefined;

  private readonly shared: Shared;
  private readonly base: string | undefined;
  private readonly running = new Set<Invocation>();
  private readonly reports = new WeakMap<Response, Promise<Report>>();
  private closed = false;

  private constructor(parts: Parts, platform: Platform) {
    const { manifest, clamped, operator, module, plan, mode, workerURL, concurrency } = parts;
    this.manifest = manifest;
    this.clamped = clamped;
    this.kind = plan.raw ? "raw" : "http";
    this.mode = mode;
    this.base = parts.baseURL === undefined ? undefined : String(parts.baseURL);
    const client = createClient(manifest, operator, platform);
    const link = mode as Exclude<LinkKind, "direct">;
    const open = async () => (mode === "inline" ? new InlineCell(module, plan) : WorkerCell.open({ module, plan, link, workerURL }));
    this.shared = {
      name: manifest.name, raw: plan.raw, manifest, host: platform.name, log: parts.log,
      pool: new Pool(concurrency, open, manifest.limits, manifest.isolation === "pooled"),
      session: () => client.session(),
      unenforced: mode === "inline" ? ["browser_cpu"] : [],
    };
  }

  /** Makes a plugin, and proves that it starts. Throws a SortieError. */
  static async make(parts: Parts): Promise<Plugin> {
    const plugin = new Plugin(parts, detectPlatform(parts.fetch));
    try {
      const ready = await plugin.shared.pool.take(new AbortController().signal);
      plugin.shared.pool.give(ready, "unused");
      return plugin;
    } catch (e) {
      plugin.close();
      if (e instanceof SortieError && e.code === "plugin_trapped") throw new SortieError("invalid_wasm", e.message);
      if (e instanceof SortieError) throw e;
      throw new SortieError("internal_error", `the plugin's worker can't be started: ${(e as Error).message}`, { cause: e });
    }
  }

  /**
   * Calls the plugin, as fetch() calls a server: it sees the URL's path, query and host, the method, the headers and the body. What fails is
   * an answer of type application/problem+json with the header Sortie-Error; what fails after a streamed answer has begun is an error
   * of its body. Throws the reason of the request's signal, and TypeError for what can't be a Request.
   */
  async fetch(input: Request | string | URL, init?: RequestInit): Promise<Response> {
    const request = new Request(input instanceof Request ? input : this.resolved(input), init);
    if (this.closed) throw new SortieError("draining", "the plugin has been closed");
    const invocation: Invocation = new Invocation(this.shared, request, (report) => {
      this.running.delete(invocation);
      this.lastReport = report;
    });
    this.running.add(invocation);
    const response = await invocation.respond();
    this.reports.set(response, invocation.report);
    return response;
  }

  /** Without a base, a path is the page's; where there is no page, it is below a host of that name. */
  private resolved(url: string | URL): URL {
    return new URL(url, this.base ?? globalThis.location?.href ?? "http://plugin.invalid/");
  }

  /** The report of a response of this plugin's, once it has ended: for a streamed one, when its body has been read. */
  reportOf(response: Response): Promise<Report> | undefined {
    return this.reports.get(response);
  }

  /** Ends all invocations and workers. */
  close(): void {
    this.closed = true;
    for (const invocation of this.running) invocation.cut("closed");
    this.shared.pool.close();
  }
}
