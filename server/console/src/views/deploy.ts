// Deploys a module and its manifest, dropped here or chosen.
import { ofPlugin, Problem, send } from "../api";
import { h, replace } from "../dom";
import { bytes, short } from "../format";
import { copyButton } from "../parts/copy";
import { icon } from "../parts/icons";
import { command, failed, Status } from "../parts/notes";
import { to } from "../router";
import { can } from "../session";
import type { Deployed } from "../types";
import type { Context, View } from "../view";

export function deployView(ctx: Context): View {
  const content = can("deploy") ? new Deployer(ctx).element : failed(new Problem("forbidden", "Deploying needs the role deploy."));
  return { title: "Deploy", element: h("div", null, h("div", { class: "page-head" }, h("h1", null, "Deploy")), content) };
}

class Deployer {
  private module: File | null = null;
  private readonly chosen = h("p", { class: "chosen", role: "status" });
  private readonly picker = h("input", { id: "files", type: "file", multiple: true, accept: ".wasm,.yaml,.yml,.json", class: "visually-hidden", on: { change: () => void this.take([...this.picker.files!]) } });
  private readonly manifest = h("textarea", { id: "manifest", rows: 14, spellcheck: "false", class: "mono", placeholder: "name: prices\nfetch:\n  allow:\n    - https://api.example.com", on: { input: () => this.nameFromManifest() } });
  private readonly name = h("input", { id: "name", required: true, pattern: "[a-z][a-z0-9\\-]{0,62}", spellcheck: "false", autocomplete: "off", class: "mono", "aria-describedby": "name-hint" });
  private readonly note = h("input", { id: "note", maxlength: 1000, autocomplete: "off" });
  private readonly traffic = h("input", { id: "traffic", type: "checkbox", checked: true });
  private readonly button = h("button", { type: "submit", class: "primary" }, icon("upload"), "Deploy");
  private readonly status = new Status();
  private readonly result = h("div", { "aria-live": "polite" });

  constructor(private readonly ctx: Context) {}

  get element(): HTMLElement {
    const zone = h(
      "label",
      { class: "drop", for: "files" },
      icon("upload"),
      h("strong", null, "Drop plugin.wasm and plugin.yaml here"),
      h("span", null, "or choose the files"),
      this.picker,
    );
    const over = (event: DragEvent, on: boolean) => {
      event.preventDefault();
      zone.classList.toggle("over", on);
    };
    // Anywhere on the page: a file that misses the box would otherwise replace the console.
    const { signal } = this.ctx;
    addEventListener("dragover", (event) => over(event, true), { signal });
    addEventListener("dragleave", (event) => over(event, false), { signal });
    addEventListener(
      "drop",
      (event) => {
        over(event, false);
        void this.take([...(event.dataTransfer?.files ?? [])]);
      },
      { signal },
    );
    return h(
      "form",
      {
        class: "deploy",
        on: {
          submit: (event) => {
            event.preventDefault();
            void this.deploy();
          },
        },
      },
      h("section", { class: "card", "aria-label": "Files" }, zone, this.chosen),
      h(
        "section",
        { class: "card", "aria-label": "What to deploy" },
        h("div", { class: "field" }, h("label", { for: "manifest" }, "Manifest (plugin.yaml)"), this.manifest, h("p", { class: "hint" }, "Empty: the default manifest, under which a plugin may fetch from nowhere.")),
        h(
          "div",
          { class: "columns" },
          h("div", { class: "field" }, h("label", { for: "name" }, "Name"), this.name, h("p", { class: "hint", id: "name-hint" }, "Lower-case letters, digits and dashes.")),
          h("div", { class: "field" }, h("label", { for: "note" }, "Note, for the audit log"), this.note),
        ),
        h("label", { class: "check" }, this.traffic, "It takes all traffic at once"),
        h("div", { class: "actions" }, this.button, this.status.element),
      ),
      this.result,
      h("details", { class: "hint-more" }, h("summary", null, "From the command line"), command("sortie build && sortie deploy")),
    );
  }

  /** Takes files as what their names say they are. */
  private async take(files: File[]): Promise<void> {
    for (const file of files) {
      if (/\.wasm$/i.test(file.name)) this.module = file;
      else if (/\.(ya?ml|json)$/i.test(file.name) && file.size <= 256 * 1024) {
        this.manifest.value = await file.text();
        this.nameFromManifest();
      } else this.status.say(`${file.name} is neither a module (.wasm) nor a manifest (.yaml, .json) of up to 256 KiB.`, "bad");
    }
    const parts = [this.module && `${this.module.name}, ${bytes(this.module.size)}`, this.manifest.value !== "" && "a manifest"].filter(Boolean);
    this.chosen.textContent = parts.length > 0 ? `Ready: ${parts.join(" and ")}.` : "";
    if (this.module !== null) this.status.say("");
  }

  private nameFromManifest(): void {
    const [, name] = /^\s*"?name"?\s*:\s*["']?([a-z][a-z0-9-]*)/m.exec(this.manifest.value) ?? [];
    if (name !== undefined) this.name.value = name;
  }

  private async deploy(): Promise<void> {
    if (this.module === null) {
      this.status.say("Choose a module first: plugin.wasm, which sortie build makes.", "bad");
      this.picker.focus();
      return;
    }
    const body = new FormData();
    if (this.manifest.value.trim() !== "") body.set("manifest", new Blob([this.manifest.value], { type: "application/yaml" }), "plugin.yaml");
    body.set("wasm", new Blob([this.module], { type: "application/wasm" }), "plugin.wasm");
    const query = new URLSearchParams();
    if (!this.traffic.checked) query.set("traffic", "none");
    if (this.note.value !== "") query.set("note", this.note.value);
    this.button.disabled = true;
    this.status.say("Uploading and compiling…");
    replace(this.result);
    try {
      const response = await send(`${ofPlugin(this.name.value)}?${query}`, { method: "PUT", body, signal: this.ctx.signal });
      this.status.say("");
      replace(this.result, done((await response.json()) as Deployed, response.status === 201));
    } catch (error) {
      if (this.ctx.signal.aborted) return;
      this.status.say("");
      replace(this.result, error instanceof Problem && error.code === "invalid_manifest" ? this.wrongManifest(error) : failed(error));
    } finally {
      this.button.disabled = false;
    }
  }

  /** What is wrong with the manifest, each with its line, which is a way there. */
  private wrongManifest(problem: Problem): HTMLElement {
    const lines = problem.detail.split("\n").map((text) => {
      const [, line, column, what] = /^plugin\.yaml:(\d+):(\d+): (.*)$/s.exec(text) ?? [];
      if (line === undefined) return h("li", null, text);
      const [, key, message] = /^([^\s:]+): (.*)$/s.exec(what!) ?? [null, null, what!];
      return h("li", null, h("button", { type: "button", class: "link", on: { click: () => this.select(Number(line)) } }, `Line ${line}, column ${column}`), " ", key && [h("code", null, key), ": "], message);
    });
    return h("section", { class: "card note failure", role: "alert" }, icon("warning"), h("div", null, h("p", { class: "failure-title" }, "The manifest isn't valid"), h("ul", { class: "wrongs" }, lines), h("p", { class: "muted" }, h("code", null, problem.code), " Mend it above, and deploy again.")));
  }

  private select(line: number): void {
    const lines = this.manifest.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((all, text) => all + text.length + 1, 0);
    this.manifest.focus();
    this.manifest.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  }
}

function done(d: Deployed, made: boolean): HTMLElement {
  return h(
    "section",
    { class: "card deployed", "aria-labelledby": "deployed" },
    h("h2", { id: "deployed", class: "good-text" }, made ? `Deployed ${d.name} v${d.version}` : `${d.name} v${d.version} was there already`),
    h("p", { class: "address" }, h("code", null, d.url), copyButton(d.url, "Copy the address")),
    h("p", { class: "muted" }, "Module ", h("code", { title: d.digest }, short(d.digest)), d.signer && [", signed by ", h("code", null, d.signer)]),
    d.clamped.length > 0 && [
      h("h3", null, "Lowered to the operator's ceilings"),
      h("table", { class: "data" }, h("thead", null, h("tr", null, ["Limit", "Asked", "Got"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, d.clamped.map((c) => h("tr", null, h("th", { scope: "row" }, h("code", null, c.key)), h("td", { class: "num" }, c.asked), h("td", { class: "num" }, c.got))))),
    ],
    h("div", { class: "actions" }, h("a", { class: "button primary", href: to(["plugins", d.name, "run"], { version: String(d.version) }) }, icon("play"), "Run it"), h("a", { class: "button", href: to(["plugins", d.name]) }, "Versions and traffic")),
  );
}
