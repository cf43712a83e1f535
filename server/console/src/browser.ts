// Runs plugins in this browser, with the module and the manifest that the server has of a version: the same policy, budget and codes.
import { get, ofPlugin, send } from "./api";
import type { HARSource, ManifestInput, Plugin } from "./browser-host";
import { who } from "./session";
import { workerURL } from "./trusted";
import type { EffectiveManifest, Report } from "./types";

export interface Answer {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
  took: number; // milliseconds, to the last byte
  code: string; // of the failure; "": the plugin answered
  report: Report | null;
}

export interface LocalRun {
  report: Report;
  har: () => Promise<unknown>;
}

const runs = new Map<string, LocalRun>();
const kept = 50; // reports

/** A run whose report is still in memory. */
export function ran(id: string): LocalRun | undefined {
  return runs.get(id);
}

let loaded: { key: string; plugin: Promise<Plugin> } | null = null; // one: its workers hold memory

/** Answers the request here. The path begins with "/" and may have a query. */
export async function runHere(name: string, version: number, path: string, init: RequestInit): Promise<Answer> {
  const plugin = await open(name, version);
  const began = performance.now();
  const response = await plugin.fetch(path, init);
  const body = new Uint8Array(await response.arrayBuffer());
  const took = performance.now() - began;
  const made = await plugin.reportOf(response);
  const report: Report | null = made === undefined ? null : { ...made, plugin: name, version }; // it knows its module, and not how that was deployed
  if (report !== null) remember(report);
  return { status: response.status, headers: [...response.headers], body, took, code: response.headers.get("Sortie-Error") ?? "", report };
}

function remember(report: Report): void {
  runs.set(report.id, {
    report,
    har: async () => {
      const { toHAR } = await import("./browser-host.js");
      return toHAR(report as HARSource, who()?.build);
    },
  });
  for (const id of runs.keys()) {
    if (runs.size <= kept) break;
    runs.delete(id);
  }
}

/** The plugin, loaded once for all runs of the same version under the same rules. */
async function open(name: string, version: number): Promise<Plugin> {
  const effective = await get<EffectiveManifest>(ofPlugin(name, "versions", version, "manifest"));
  const key = JSON.stringify(effective);
  if (loaded?.key !== key) {
    void loaded?.plugin.then((old) => old.close()).catch(() => undefined);
    const plugin = load(effective);
    loaded = { key, plugin };
    plugin.catch(() => (loaded = loaded?.plugin === plugin ? null : loaded));
  }
  return loaded.plugin;
}

async function load(effective: EffectiveManifest): Promise<Plugin> {
  const [host, module] = await Promise.all([import("./browser-host.js"), send(ofPlugin(effective.name, "versions", effective.version, "wasm"))]);
  return host.load(await module.arrayBuffer(), { ...effective.manifest, name: effective.name } as ManifestInput, {
    operator: effective.operator,
    workerURL: new URL(workerURL, location.origin).href,
    fetch: outward as typeof fetch,
  });
}

/**
 * What a plugin's fetches go through. They leave this browser without cookies and tokens, but a server that is open to this machine asks for none:
 * so the console's own origin, where /v1 is, is none that a plugin reaches from here.
 */
function outward(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input, location.href);
  if (url.origin === location.origin) return Promise.reject(new TypeError("The console's own origin isn't reached from a plugin in the browser."));
  return fetch(input, init);
}
