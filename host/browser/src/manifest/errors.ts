/** One thing that is wrong in a manifest or an operator's configuration. */
export interface Problem {
  key: string; // full dotted key, such as fetch.allow[2].url; "": the whole
  message: string; // without the key
  nearest: string; // the nearest valid key or value, for a misspelt one; else ""
}

/** What parseManifest and parseOperator throw: everything that is wrong, one line for each. */
export class ManifestError extends Error {
  readonly code = "invalid_manifest";

  constructor(readonly problems: Problem[], file = "plugin.yaml") {
    super(problems.map((p) => `${file}: ${p.key && p.key + ": "}${p.message}${p.nearest && `; did you mean ${JSON.stringify(p.nearest)}?`}`).join("\n"));
    this.name = "ManifestError";
  }
}
