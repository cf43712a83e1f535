/** Decides what kind of plugin a module is, refuses what can't run, and makes what is to be compiled. See host/inspect.go. */
import { formatBytes } from "../manifest/index.js";
import type { Manifest } from "../manifest/index.js";
import { SortieError } from "../invocation/problem.js";
import { entrySize, maxTableEntries } from "./limits.js";
import { kindNames, Outline } from "./module.js";
import type { Import } from "./module.js";
import type { Config, Plan } from "./protocol.js";
import { Malformed } from "./reader.js";
import { rewrite } from "./rewrite.js";
import { abiModule, extismModule, extismUserModule, signatures, wasiModule } from "./signatures.js";

const pageSize = 64 << 10;

/** The module as it is to be compiled, and how it is run. Throws a SortieError, invalid_wasm. */
export function inspect(bytes: Uint8Array, manifest: Manifest): { bytes: Uint8Array; plan: Plan } {
  try {
    const mod = new Outline(bytes);
    const plan = judge(mod, manifest);
    const rewritten = rewrite(mod, manifest.limits.memory);
    const { memory, start, room, refused } = rewritten;
    return { bytes: rewritten.bytes, plan: { ...plan, memory, start, room, refused } };
  } catch (e) {
    if (e instanceof Malformed) throw invalid(`the module can't be read: ${e.message}`);
    throw e;
  }
}

/**
 * The same for a module that was compiled elsewhere. It can't be rewritten any more, nor are the types of its functions known: its memory
 * is measured when it has run.
 */
export function inspectCompiled(module: WebAssembly.Module, manifest: Manifest): Plan {
  const kind = (name: string) => kindNames.indexOf(name);
  const imports = WebAssembly.Module.imports(module).map((i) => ({ ...i, kind: kind(i.kind) }));
  const exports = WebAssembly.Module.exports(module);
  const raw = judgeImports(imports);
  const names = exports.filter((e) => e.kind === "function").map((e) => e.name);
  if (!names.includes(manifest.entry)) throw noEntry(manifest.entry, names);
  const memory = exports.find((e) => e.kind === "memory")?.name ?? "";
  return { ...planOf(manifest, raw), memory, start: "", room: "", refused: "" };
}

function judge(mod: Outline, manifest: Manifest): Plan {
  const raw = judgeImports(mod.imports);
  for (const i of mod.imports) {
    const want = signatures.get(i.module)!.get(i.name)!;
    const got = mod.types[i.type];
    if (got !== want) throw invalid(`the module imports ${quoted(i.module)}.${quoted(i.name)} with another type than it has`);
  }
  fits(mod, manifest);
  const entry = mod.exportedFunction(manifest.entry);
  const names = mod.exports.filter((e) => e.kind === 0).map((e) => e.name);
  if (entry === undefined) throw noEntry(manifest.entry, names);
  if (!raw && entry !== ":i") throw invalid(`the entry ${quoted(manifest.entry)} must take nothing and return an i32`);
  if (raw && !/^:.?$/.test(entry)) throw invalid(`the entry ${quoted(manifest.entry)} must take nothing and return one value at most`);
  return { ...planOf(manifest, raw), memory: "", start: "", room: "", refused: "" };
}

/** Whether the module is a raw plugin. */
function judgeImports(imports: Omit<Import, "type">[]): boolean {
  imports.forEach(known);
  const raw = !imports.some((i) => i.module === abiModule);
  if (!raw && imports.some((i) => i.module.startsWith("extism:"))) {
    throw invalid(`the module imports both ${abiModule} and Extism's functions; build it with one of the two`);
  }
  return raw;
}

/** Refuses an import that no function of the host stands for. */
function known({ module, name, kind }: Omit<Import, "type">): void {
  if (kind !== 0) throw invalid(`the module imports the ${kindNames[kind] ?? "thing"} ${quoted(module)}.${quoted(name)}; only functions can be imported`);
  const names = signatures.get(module);
  if (names?.has(name)) return;
  if (names) throw invalid(`the module imports ${module}.${quoted(name)}, which this host doesn't have; was it built for a newer one?`);
  const version = module.startsWith("sortie:host/") ? module.slice("sortie:host/".length) : undefined;
  if (version !== undefined) throw invalid(`the module was built for Sortie's ABI ${quoted(version)}; this host speaks v1`);
  throw invalid(
    `the module imports ${quoted(module)}.${quoted(name)}; a plugin can import from ${abiModule}, ${extismModule}, ${extismUserModule} and ${wasiModule} only`,
  );
}

/** Refuses a module that its memory limit could not even start. */
function fits(mod: Outline, { limits }: Manifest): void {
  if (mod.memories.length > 1) throw invalid(`the module has ${mod.memories.length} memories; plugins have one`);
  for (const { min } of mod.memories) {
    if (min > limits.memory / pageSize) throw invalid(`the module needs ${min} pages of 64 KiB to start, limits.memory is ${formatBytes(limits.memory)}`);
  }
  const entries = mod.tables.reduce((n, min) => n + min, 0);
  if (entries > Math.min(limits.memory / entrySize, maxTableEntries)) {
    throw invalid(`the module's tables have ${entries} entries of ${entrySize} bytes, limits.memory is ${formatBytes(limits.memory)}`);
  }
}

function planOf({ entry, limits, fetch, config }: Manifest, raw: boolean): Omit<Plan, "memory" | "start" | "room" | "refused"> {
  const { memory, output, log, stream } = limits;
  return { raw, entry, limits: { memory, output, log, stream, requestBytes: fetch.limits.request_bytes }, config: configOf(config) };
}

function configOf(values: Record<string, unknown>): Config {
  const config: Config = { all: JSON.stringify(values), values: Object.create(null), texts: Object.create(null) };
  for (const [key, value] of Object.entries(values)) {
    config.values[key] = JSON.stringify(value);
    config.texts[key] = typeof value === "string" ? value : config.values[key]!;
  }
  return config;
}

function noEntry(entry: string, names: string[]): SortieError {
  const shown = names.filter((name) => name !== "sortie_warmup").slice(0, 10).map(quoted).join(", ");
  return invalid(`the module exports no function ${quoted(entry)} (the manifest's entry); it exports ${shown || "none"}`);
}

function invalid(message: string): SortieError {
  return new SortieError("invalid_wasm", message);
}

/** A foreign name as an error shows it: its first 100 characters, and no control characters. */
function quoted(name: string): string {
  const shown = [...name].slice(0, 100).join("").replace(/[\p{C}\p{Z}]/gu, "\ufffd");
  return shown.length < name.length ? shown + "…" : shown;
}
