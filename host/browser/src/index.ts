/**
 * Runs Sortie plugins in a web page, a worker or Node: the same .wasm file under the same manifest, policy, budget and error codes as
 * the server.
 *
 *	import { load } from "@sortie/browser";
 *	const plugin = await load("plugin.wasm", { fetch: { allow: ["https://api.example.com"] } });
 *	const response = await plugin.fetch("/hello");
 *	console.log(plugin.lastReport);
 *	plugin.close();
 *
 * A guest runs in a worker and has no network of its own. It waits by JavaScript Promise Integration (JSPI) where there is that, else by
 * blocking its worker, for which a page must be cross-origin isolated.
 */
import { ManifestError, manifestFrom, parseManifest } from "./manifest/index.js";
import type { ManifestInput, OperatorInput } from "./manifest/index.js";
import { inspect, inspectCompiled } from "./guest/inspect.js";
import type { LogLine } from "./guest/log.js";
import { Plugin } from "./invocation/plugin.js";
import type { Mode } from "./invocation/plugin.js";
import { SortieError } from "./invocation/problem.js";

export { Plugin, SortieError };
export type { Mode } from "./invocation/plugin.js";
export type { Budget, Report } from "./invocation/report.js";
export type { Exchange, FetchRecord, Field, State } from "./fetch/types.js";
export type { Clamp, Manifest, ManifestInput, OperatorInput } from "./manifest/index.js";
export type { LogLine } from "./guest/log.js";
export * from "./har.js";

/** Where a module comes from: a URL to fetch, its bytes, or one that is compiled. Of that, limits.memory is only checked in the end. */
export type Source = string | URL | Response | ArrayBuffer | Uint8Array | WebAssembly.Module;

export interface LoadOptions {
  /** How guests run; auto takes jspi where there is that, then atomics, and inline only where there are no workers. */
  mode?: Mode | "auto";
  /** What the operator says over all manifests. */
  operator?: OperatorInput;
  /** Invocations at once, each in a worker of its own; default: one a processor, but 4 at least, since guests mostly wait, and 8 at most. Others queue. */
  concurrency?: number;
  /** What fetches are made with, in place of the global fetch. */
  fetch?: typeof fetch;
  /** The script of the workers, worker.js of this package; default: beside this one. */
  workerURL?: string | URL;
  /** What relative URLs given to plugin.fetch are resolved against; default: the page's. */
  baseURL?: string | URL;
  /** Is called for each line that a plugin logs or prints. */
  log?: (line: LogLine) => void;
}

/**
 * Loads a plugin. The manifest is an object, or text: JSON, or YAML if the package "yaml" is there.
 *
 * Throws a SortieError with the code invalid_manifest, invalid_wasm, or browser_isolation: guests can't wait here, since there is neither
 * JSPI nor, in a page that isn't cross-origin isolated, shared memory.
 */
export async function load(source: Source, manifest: ManifestInput | string, options: LoadOptions = {}): Promise<Plugin> {
  const { operator, workerURL, baseURL, log } = options;
  const parsed = await readManifest(manifest, operator);
  const mode = pickMode(options.mode ?? "auto");
  const taken = await take(source);
  let module: WebAssembly.Module;
  let plan;
  if (taken instanceof WebAssembly.Module) {
    module = taken;
    plan = inspectCompiled(taken, parsed.manifest);
  } else {
    const inspected = inspect(taken, parsed.manifest);
    plan = inspected.plan;
    module = await compile(inspected.bytes);
  }
  return Plugin.make({
    ...parsed, operator, module, plan, mode, concurrency: concurrencyOf(options.concurrency), fetch: options.fetch, workerURL, baseURL, log,
  });
}

async function readManifest(manifest: ManifestInput | string, operator: OperatorInput | undefined) {
  try {
    return parseManifest(typeof manifest === "string" ? await manifestFrom(manifest) : manifest, operator);
  } catch (e) {
    if (e instanceof ManifestError) throw new SortieError("invalid_manifest", e.message, { cause: e });
    throw e;
  }
}

function pickMode(asked: Mode | "auto"): Mode {
  const node = (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;
  const workers = node || typeof Worker === "function";
  const jspi = "Suspending" in WebAssembly;
  const shared = typeof SharedArrayBuffer === "function" && (node || globalThis.crossOriginIsolated === true);
  if (jspi && asked !== "atomics") return asked !== "auto" ? asked : workers ? "jspi" : "inline";
  if (workers && shared && (asked === "auto" || asked === "atomics")) return "atomics";
  const missing = asked === "atomics" ? "shared memory, which takes a worker and a page that is cross-origin isolated (COOP and COEP)"
    : asked === "auto" ? "JavaScript Promise Integration (JSPI), or a page that is cross-origin isolated (COOP and COEP)"
    : "JavaScript Promise Integration (JSPI)";
  throw new SortieError("browser_isolation", `plugins can't wait here: it takes ${missing}`);
}

async function take(source: Source): Promise<Uint8Array | WebAssembly.Module> {
  if (source instanceof WebAssembly.Module || source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  let response;
  try {
    response = source instanceof Response ? source : await fetch(source);
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (e) {
    throw new SortieError("invalid_wasm", `the module can't be fetched: ${(e as Error).message}`, { cause: e });
  }
  throw new SortieError("invalid_wasm", `the module can't be fetched: ${response.url} answers ${response.status}`);
}

async function compile(bytes: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  } catch (e) {
    if (!(e instanceof WebAssembly.CompileError)) throw e; // a Content-Security-Policy without 'wasm-unsafe-eval', say
    throw new SortieError("invalid_wasm", e.message, { cause: e });
  }
}

function concurrencyOf(asked: number | undefined): number {
  if (asked !== undefined) return Math.max(Math.floor(asked), 1);
  return Math.min(Math.max(globalThis.navigator?.hardwareConcurrency ?? 4, 4), 8);
}
