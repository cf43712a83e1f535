/**
 * Manifests in the browser host: the same keys, defaults, checks and ceilings as the server's (host/manifest). What says how a server
 * serves a plugin (access, warmup, smoke, sticky, cors) is checked and has no effect.
 *
 * Not enforced by this host: `fetch.cache` (there is none; the page's own isn't asked either), `fetch.limits.connect_timeout`, and all that
 * an operator's `upstreams` say (breaker, rate, proxies, TLS). A key that is given twice is the last one's where the source is JSON, since
 * JSON.parse takes it so.
 */
import { at, amounts, clamp } from "./amounts.js";
import { Checker } from "./check.js";
import { Decoder } from "./decode.js";
import { defaultManifest } from "./defaults.js";
import { ManifestError } from "./errors.js";
import { Operator } from "./operator.js";
import { manifestShape } from "./shape.js";
import { byteLength } from "./text.js";
import type { Clamp, Manifest, ManifestInput, OperatorInput } from "./types.js";
import { formatDuration } from "./units.js";

export { defaultManifest } from "./defaults.js";
export { ManifestError, type Problem } from "./errors.js";
export { Operator } from "./operator.js";
export type * from "./types.js";
export { formatBytes, formatDuration, parseBytes, parseDuration } from "./units.js";

const maxBytes = 256 << 10; // of a manifest, as written and in its canonical form

/** The operator's configuration of an input; one that was read already is given back. Throws a ManifestError. */
export function operatorOf(input: Operator | OperatorInput | undefined): Operator {
  return input instanceof Operator ? input : new Operator(input);
}

/**
 * Reads a manifest as a deploy does: over the operator's defaults, each limit lowered to the operator's ceilings. Text is JSON; for YAML see
 * manifestFrom. `access` isn't lowered, since nobody calls in from outside, and secrets aren't held to an operator's, since a page has
 * none. Throws a ManifestError.
 */
export function parseManifest(input: ManifestInput | string, operator?: Operator | OperatorInput): { manifest: Manifest; clamped: Clamp[] } {
  const op = operatorOf(operator);
  if (typeof input === "string") {
    checkLength(input);
    try {
      input = JSON.parse(input) as object;
    } catch (err) {
      throw whole("not valid JSON: " + (err as Error).message);
    }
  }
  const decoder = new Decoder(manifestShape);
  const manifest: Manifest = decoder.value(manifestShape, input, structuredClone(op.defaults));
  if (decoder.problems.length === 0) new Checker(decoder).manifest(manifest);
  if (manifest.cors.origins.length === 0) manifest.cors = defaultManifest().cors; // the rest says nothing then
  if (decoder.problems.length > 0) throw new ManifestError(decoder.problems);
  const clamped = clamp(manifest, decoder.named, op.ceilings, defaultManifest(), op.defaults);
  checkLength(JSON.stringify(effective(manifest)));
  return { manifest, clamped };
}

/**
 * Reads a manifest's text into what parseManifest takes: JSON, or YAML 1.2 by the package "yaml", which is loaded only then and has to be
 * there. Throws a ManifestError.
 */
export async function manifestFrom(text: string): Promise<ManifestInput> {
  checkLength(text);
  try {
    return JSON.parse(text);
  } catch {
    // Then it is YAML, of which JSON is a part.
  }
  let yaml: { parse(source: string, options: object): unknown };
  try {
    yaml = (await import("yaml")) as unknown as typeof yaml;
  } catch {
    throw whole("not valid JSON; for YAML, the package `yaml` has to be installed");
  }
  try {
    return (yaml.parse(text, { maxAliasCount: 100 }) ?? {}) as ManifestInput;
  } catch (err) {
    throw whole("not valid YAML: " + (err as Error).message.split("\n")[0]);
  }
}

/** A manifest as it is written: every key is there, amounts have their units. Reading it gives the manifest again. */
export function effective(manifest: Manifest): Record<string, unknown> {
  const out: any = structuredClone(manifest);
  if (out.name === "") delete out.name;
  out.fetch.allow = manifest.fetch.allow.map((rule) => {
    if (rule.methods.length === 0 && !rule.private) return rule.url;
    return { url: rule.url, ...(rule.methods.length > 0 && { methods: rule.methods }), ...(rule.private && { private: true }) };
  });
  for (const secret of out.secrets) if (secret.allow.length === 0) delete secret.allow;
  for (const a of amounts) {
    const path = a.key.split("."), last = path.pop()!;
    if (a.show !== String) at(out, path.join("."))[last] = a.show(at(manifest, a.key));
  }
  out.cors.max_age = formatDuration(manifest.cors.max_age);
  return out;
}

function checkLength(text: string): void {
  const bytes = byteLength(text);
  if (bytes > maxBytes) throw whole(`the manifest has ${bytes} bytes; ${maxBytes} is the most`);
}

function whole(message: string): ManifestError {
  return new ManifestError([{ key: "", message, nearest: "" }]);
}
