// Calls a plugin at the edge, in this browser, or both, and compares what came.
import { get, ofPlugin } from "../api";
import { runHere, type Answer } from "../browser";
import { addressOf, hiddenRedirect, runThere } from "../edge";
import { h, replace, type Child } from "../dom";
import { bytes, count, ms, plural, pretty } from "../format";
import { amount, budgetBars } from "../parts/budget";
import { icon } from "../parts/icons";
import { command, failed, loading } from "../parts/notes";
import { pill } from "../parts/outcome";
import { named, pluginPage } from "../parts/pluginpage";
import { to } from "../router";
import { can } from "../session";
import type { PluginInfo, Report, VersionInfo } from "../types";
import type { Context, View } from "../view";
import { methods } from "./policy";

const shownBytes = 200_000; // of a body

export async function runView(ctx: Context): Promise<View> {
  const p = await named(ctx);
  const { versions } = await get<{ versions: VersionInfo[] }>(ofPlugin(p.name, "versions"), { signal: ctx.signal });
  return pluginPage(p, "run", new Runner(p, versions, ctx).element);
}

type Side = "edge" | "browser";

class Runner {
  private readonly method = h("input", { id: "method", list: "methods", value: "GET", required: true, spellcheck: "false", autocomplete: "off", class: "mono", on: { input: () => this.sync() } });
  private readonly path = h("input", { id: "path", value: "/", spellcheck: "false", autocomplete: "off", class: "mono", on: { input: () => this.sync() } });
  private readonly headers = h("textarea", { id: "headers", rows: 2, spellcheck: "false", placeholder: "Accept: application/json", class: "mono" });
  private readonly body = h("textarea", { id: "body", rows: 4, spellcheck: "false", class: "mono" });
  private readonly version: HTMLSelectElement;
  private readonly hint = h("p", { class: "hint", role: "status" });
  private readonly curl = h("div");
  private readonly verdict = h("div", { class: "verdict", role: "status" });
  private readonly results: Record<Side, HTMLElement> = { edge: h("div", { class: "result-body", "aria-live": "polite" }), browser: h("div", { class: "result-body", "aria-live": "polite" }) };
  private readonly answers: Partial<Record<Side, Answer>> = {};
  private readonly buttons: HTMLButtonElement[] = [];

  constructor(
    private readonly p: PluginInfo,
    versions: VersionInfo[],
    ctx: Context,
  ) {
    const pinned = ctx.route.query.get("version") ?? "";
    this.version = h(
      "select",
      { id: "version", value: pinned, on: { change: () => this.sync() } },
      h("option", { value: "" }, "by the traffic"),
      versions.map((v) => h("option", { value: String(v.version) }, `v${v.version}`)),
    );
    this.version.value = pinned;
    this.sync();
  }

  get element(): HTMLElement {
    const button = (text: string, kind: "" | "primary", sign: "play" | "browser" | null, sides: Side[], disabled = false) => {
      const b = h("button", { type: "button", class: kind, disabled, on: { click: () => void this.go(sides) } }, sign && icon(sign), text);
      if (!disabled) this.buttons.push(b);
      return b;
    };
    const here = can("deploy");
    return h(
      "div",
      { class: "run" },
      h(
        "section",
        { class: "card", "aria-labelledby": "request" },
        h("h2", { id: "request" }, "Request"),
        h(
          "form",
          {
            on: {
              submit: (event) => {
                event.preventDefault();
                void this.go(["edge"]);
              },
            },
          },
          h(
            "div",
            { class: "request-line" },
            h("div", { class: "field method" }, h("label", { for: "method" }, "Method"), this.method, methods()),
            h("div", { class: "field grow" }, h("label", { for: "path" }, "Path and query, below the plugin's own"), this.path),
            h("div", { class: "field" }, h("label", { for: "version" }, "Version"), this.version),
          ),
          h("details", { class: "more" }, h("summary", null, "Headers and body"), h("div", { class: "field" }, h("label", { for: "headers" }, "Headers, one a line"), this.headers), h("div", { class: "field" }, h("label", { for: "body" }, "Body"), this.body)),
          h("div", { class: "actions" }, button("Run at the edge", "primary", "play", ["edge"]), button("Run in this browser", "", "browser", ["browser"], !here), button("Run both", "", null, ["edge", "browser"], !here)),
          this.hint,
          !here && h("p", { class: "hint" }, "Running it in this browser needs its module, and so the role deploy."),
        ),
      ),
      this.verdict,
      h("div", { class: "sides" }, this.side("edge", "At the edge", "The server runs it."), this.side("browser", "In this browser", "The same module, in a worker of this tab. Its fetches are this browser's: an upstream must let pages in (CORS).")),
      h("details", { class: "hint-more" }, h("summary", null, "From the command line"), this.curl),
    );
  }

  private side(side: Side, title: string, what: string): HTMLElement {
    const id = `side-${side}`;
    replace(this.results[side], h("p", { class: "muted" }, what));
    return h("section", { class: "card side", "aria-labelledby": id, "data-side": side }, h("h2", { id }, icon(side === "edge" ? "play" : "browser"), title), this.results[side]);
  }

  private sync(): void {
    const bodyless = ["GET", "HEAD"].includes(this.method.value.toUpperCase());
    this.body.disabled = bodyless;
    this.body.placeholder = bodyless ? `A page can't send one with ${this.method.value.toUpperCase()}.` : "";
    const pin = this.version.value === "" ? "" : ` -H 'Sortie-Version: ${this.version.value}'`;
    const path = this.path.value === "/" ? "" : this.path.value;
    replace(this.curl, command(`curl -i -X ${this.method.value || "GET"}${pin} '${(addressOf(this.p) + path).replaceAll("'", "%27")}'`));
  }

  /** The request that both get. What a page may not send is left out for both, and said. */
  private request(): { path: string; init: RequestInit } {
    const headers = new Headers();
    const wanted: string[] = [];
    for (const line of this.headers.value.split("\n")) {
      if (line.trim() === "") continue;
      const [, name, value = ""] = /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
      if (name === undefined) throw new Error(`Headers: “${line.trim()}” isn't a header. Write it as “Name: value”.`);
      try {
        headers.append(name, value);
      } catch {
        throw new Error(`Headers: “${line.trim()}” can't be one.`);
      }
      wanted.push(name.toLowerCase());
    }
    const init: RequestInit = { method: this.method.value.trim() || "GET", headers };
    if (!this.body.disabled && this.body.value !== "") init.body = this.body.value;
    const path = this.path.value.startsWith("/") ? this.path.value : `/${this.path.value}`;
    const sent = new Request(location.href, init).headers;
    const dropped = wanted.filter((name) => !sent.has(name));
    this.hint.textContent = dropped.length > 0 ? `Not sent, since a page may not: ${dropped.join(", ")}.` : "";
    return { path, init };
  }

  private async go(sides: Side[]): Promise<void> {
    let wanted;
    try {
      wanted = this.request();
    } catch (error) {
      this.hint.textContent = (error as Error).message;
      return;
    }
    const { path, init } = wanted;
    for (const side of ["edge", "browser"] as const) if (sides.includes(side) || sides.length === 2) delete this.answers[side];
    replace(this.verdict);
    for (const b of this.buttons) b.disabled = true;
    const pinned = this.version.value === "" ? null : Number(this.version.value);
    await Promise.all(
      sides.map(async (side) => {
        replace(this.results[side], loading(side === "edge" ? "the answer" : "the module, and then its answer"));
        try {
          const answer = side === "edge" ? await runThere(this.p, pinned, path, init) : await runHere(this.p.name, pinned ?? this.p.version, path, init);
          this.answers[side] = answer;
          replace(this.results[side], shown(side, answer));
        } catch (error) {
          replace(this.results[side], failed(error));
        }
      }),
    );
    for (const b of this.buttons) b.disabled = false;
    const { edge, browser } = this.answers;
    if (edge && browser) replace(this.verdict, compared(edge, browser));
  }
}

function shown(side: Side, a: Answer): Child {
  const mediaType = a.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  const requests = used(a.report, "fetch.limits.requests");
  const unseen = a.report?.fetches.filter((f) => f.code === "browser_network").length ?? 0;
  return [
    h("div", { class: "result-head" }, a.code === hiddenRedirect ? pill(a.status) : pill(a.status, a.code), h("span", { class: "num took" }, ms(a.took))),
    h(
      "dl",
      { class: "stats small" },
      h("div", null, h("dt", null, "Body"), h("dd", { class: "num" }, bytes(a.body.length))),
      a.report && h("div", null, h("dt", null, "Guest"), h("dd", { class: "num" }, ms(a.report.guest_ms))),
      a.report && h("div", null, h("dt", null, "Fetching"), h("dd", { class: "num" }, ms(a.report.fetch_ms))),
      requests && h("div", null, h("dt", null, "Requests"), h("dd", { class: "num" }, `${count(requests.used)} / ${count(requests.limit)}`)),
    ),
    a.code === hiddenRedirect && h("p", { class: "hint" }, "The plugin redirects. A browser doesn't tell a page where to, and the console doesn't go there: a plugin may redirect to anywhere."),
    h("h3", null, "Body"),
    bodyOf(a.body, mediaType),
    h("details", null, h("summary", null, plural(a.headers.length, "header")), h("dl", { class: "headers" }, a.headers.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))))),
    a.report && [
      h("h3", null, "Budget"),
      budgetBars(a.report.budget),
      h("p", null, h("a", { class: "button small", href: to([side === "edge" ? "invocations" : "browser", a.report.id]) }, "Open the waterfall"), " ", h("span", { class: "muted" }, plural(a.report.fetches.length, "fetch", "fetches"))),
    ],
    unseen > 0 && h("p", { class: "hint" }, `${plural(unseen, "fetch", "fetches")} failed without the browser saying why (browser_network). Mostly the upstream doesn't let pages in: it has to answer with Access-Control-Allow-Origin (CORS).`),
    a.report?.unenforced && a.report.unenforced.length > 0 && h("p", { class: "hint" }, "Not held here: ", a.report.unenforced.map((code, i) => [i > 0 && ", ", h("code", null, code)])),
  ];
}

/** A body as text, whatever it claims to be. */
function bodyOf(body: Uint8Array, mediaType: string): HTMLElement {
  if (body.length === 0) return h("p", { class: "muted" }, "Empty.");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body.subarray(0, shownBytes), { stream: true });
  } catch {
    const dump = Array.from(body.subarray(0, 256), (b) => b.toString(16).padStart(2, "0")).join(" ");
    return h("div", null, h("p", { class: "muted" }, "Not text. Its first bytes:"), h("pre", { class: "text", tabindex: 0 }, dump));
  }
  const cut = body.length > shownBytes && h("p", { class: "muted" }, `The first ${bytes(shownBytes)} of ${bytes(body.length)}.`);
  return h("div", null, h("pre", { class: "text", tabindex: 0, role: "region", "aria-label": "Body" }, pretty(text, mediaType)), cut);
}

function used(report: Report | null, name: string): { used: number; limit: number; unit: string } | undefined {
  return report?.budget.find((b) => b.name === name);
}

/** Whether the two answers are the same, and took the same of the budget. */
function compared(edge: Answer, browser: Answer): HTMLElement {
  const first = edge.body.findIndex((b, i) => b !== browser.body[i]);
  const same = first < 0 && edge.body.length === browser.body.length;
  const of = (name: string, what: "requests" | "bytes fetched") => {
    const a = used(edge.report, name);
    const b = used(browser.report, name);
    if (!a || !b) return null;
    return fact(a.used === b.used, a.used === b.used ? `Same ${what}: ${amount(a.used, a.unit)}` : `Different ${what}: ${amount(a.used, a.unit)} at the edge, ${amount(b.used, b.unit)} here`);
  };
  return h(
    "ul",
    { class: "card compared", "aria-label": "Compared" },
    fact(edge.status === browser.status, edge.status === browser.status ? `Same status: ${edge.status}` : `Status ${edge.status} at the edge, ${browser.status} here`),
    fact(same, same ? `Same body: ${bytes(edge.body.length)}` : `Bodies differ from byte ${count((first < 0 ? edge.body.length : first) + 1)} on: ${bytes(edge.body.length)} at the edge, ${bytes(browser.body.length)} here`),
    of("fetch.limits.requests", "requests"),
    of("fetch.limits.total_bytes", "bytes fetched"),
  );
}

function fact(good: boolean, text: string): HTMLElement {
  return h("li", { class: good ? "good" : "notable" }, h("span", { "aria-hidden": "true" }, good ? "✓" : "≠"), " ", text);
}
