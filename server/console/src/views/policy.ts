// What a version may fetch and use, and why a fetch is allowed or denied.
import { get, ofPlugin } from "../api";
import { h, replace, type Child } from "../dom";
import { loading, failed } from "../parts/notes";
import { named, pluginPage } from "../parts/pluginpage";
import { go } from "../router";
import type { Clamped, EffectiveManifest, Explanation, Manifest, Rule, VersionInfo } from "../types";
import type { Context, View } from "../view";

export async function policyView(ctx: Context): Promise<View> {
  const p = await named(ctx);
  const version = Number(ctx.route.query.get("version")) || p.version;
  const [{ versions }, effective] = await Promise.all([
    get<{ versions: VersionInfo[] }>(ofPlugin(p.name, "versions"), { signal: ctx.signal }),
    get<EffectiveManifest>(ofPlugin(p.name, "versions", version, "manifest"), { signal: ctx.signal }),
  ]);
  const m = effective.manifest;
  return pluginPage(
    p,
    "policy",
    h(
      "div",
      { class: "toolbar" },
      h("label", { for: "version" }, "Version"),
      h(
        "select",
        { id: "version", value: String(version), on: { change: (event) => go(["plugins", p.name, "policy"], { version: (event.target as HTMLSelectElement).value }) } },
        versions.map((v) => h("option", { value: String(v.version) }, `v${v.version}${v.weight > 0 ? ` (${v.weight} %)` : ""}`)),
      ),
    ),
    explainCard(p.name, version, ctx),
    rulesCard(m, effective),
    h("div", { class: "columns" }, limitsCard("Limits of an invocation", "limits", m.limits, effective.clamped), limitsCard("Limits of its fetches", "fetch.limits", m.fetch.limits, effective.clamped)),
    otherCard(m),
  );
}

function explainCard(name: string, version: number, ctx: Context): HTMLElement {
  const { query } = ctx.route;
  const url = h("input", { id: "explain-url", type: "text", inputmode: "url", placeholder: "https://api.example.com/v1/prices", required: true, spellcheck: "false", autocomplete: "off", class: "mono", value: query.get("url") ?? "" });
  const method = h("input", { id: "explain-method", list: "methods", required: true, spellcheck: "false", autocomplete: "off", class: "mono", value: query.get("method") ?? "GET" });
  const answer = h("div", { "aria-live": "polite" });
  const ask = async () => {
    replace(answer, loading("the decision"));
    const asked = new URLSearchParams({ url: url.value.trim(), method: method.value.trim(), version: String(version) });
    try {
      replace(answer, decision(await get<Explanation>(`${ofPlugin(name, "explain")}?${asked}`, { signal: ctx.signal })));
    } catch (error) {
      if (!ctx.signal.aborted) replace(answer, failed(error));
    }
  };
  if (url.value !== "") void ask();
  return h(
    "section",
    { class: "card", "aria-labelledby": "explain" },
    h("h2", { id: "explain" }, "May it fetch that?"),
    h("p", { class: "muted" }, "Which rule decides, and why. Nothing is fetched, and no name looked up."),
    h(
      "form",
      {
        class: "explain-form",
        on: {
          submit: (event) => {
            event.preventDefault();
            void ask();
          },
        },
      },
      h("div", { class: "field method" }, h("label", { for: "explain-method" }, "Method"), method, methods()),
      h("div", { class: "field grow" }, h("label", { for: "explain-url" }, "URL"), url),
      h("button", { type: "submit", class: "primary" }, "Explain"),
    ),
    answer,
  );
}

export function methods(): HTMLElement {
  return h("datalist", { id: "methods" }, ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((m) => h("option", { value: m })));
}

function decision(e: Explanation): HTMLElement {
  return h(
    "div",
    { class: `note decision ${e.allowed ? "good" : "failure"}` },
    h(
      "div",
      null,
      h("p", { class: "failure-title" }, h("strong", null, e.allowed ? "Allowed" : "Denied"), e.code && [" ", h("code", null, e.code)]),
      h("p", { class: "wrap" }, e.reason, "."),
      e.rule && h("p", { class: "muted" }, "Rule ", e.number ? `${e.number}: ` : "", h("code", { class: "wrap" }, e.rule), e.private && " (private)"),
    ),
  );
}

function rulesCard(m: Manifest, effective: EffectiveManifest): HTMLElement {
  const long = (rule: Rule) => (typeof rule === "string" ? { url: rule, methods: undefined, private: false } : rule);
  const { hosts, private: permitted } = effective.operator;
  return h(
    "section",
    { class: "card", "aria-labelledby": "rules" },
    h("h2", { id: "rules" }, "Where it may fetch from"),
    m.fetch.allow.length === 0
      ? h("p", { class: "muted" }, "Nowhere: fetch.allow in its manifest lists nothing.")
      : h("ol", { class: "rules" }, m.fetch.allow.map(long).map((r) => h("li", null, h("code", { class: "wrap" }, r.url), " ", h("span", { class: "muted" }, r.methods ? r.methods.join(", ") : "all methods"), r.private && [" ", h("span", { class: "badge" }, "private")]))),
    h(
      "dl",
      { class: "facts" },
      fact("The operator allows", list(hosts.allow)),
      hosts.deny.length > 0 && fact("The operator denies", list(hosts.deny)),
      m.fetch.allow.map(long).some((r) => r.private) && fact("Private addresses", permitted.length > 0 ? list(permitted) : "none is permitted by the operator"),
    ),
  );
}

function list(texts: string[]): Child {
  return texts.map((text, i) => [i > 0 && ", ", h("code", { class: "wrap" }, text)]);
}

function fact(name: string, value: Child): HTMLElement {
  return h("div", null, h("dt", null, name), h("dd", null, value));
}

function limitsCard(title: string, prefix: string, limits: Record<string, string | number>, clamped: Clamped[]): HTMLElement {
  const id = prefix.replace(".", "-");
  return h(
    "section",
    { class: "card", "aria-labelledby": id },
    h("h2", { id }, title),
    h(
      "dl",
      { class: "limits" },
      Object.entries(limits).map(([key, value]) => {
        const cut = clamped.find((c) => c.key === `${prefix}.${key}`);
        return h("div", null, h("dt", null, h("code", null, key)), h("dd", { class: "num" }, String(value), cut && h("span", { class: "badge notable", title: "Lowered to the operator's ceiling" }, `asked ${cut.asked}`)));
      }),
    ),
  );
}

function otherCard(m: Manifest): HTMLElement {
  return h(
    "section",
    { class: "card", "aria-labelledby": "other" },
    h("h2", { id: "other" }, "The rest of its manifest"),
    h(
      "dl",
      { class: "facts" },
      fact("Entry", h("code", null, m.entry)),
      fact("Access", m.access === "public" ? "public: anyone may call it" : "callers with a token"),
      fact("Isolation", m.isolation),
      fact("Secrets", m.secrets.length === 0 ? "none" : m.secrets.map((s, i) => [i > 0 && ", ", h("code", null, s.name), ` in ${s.header}`])),
    ),
    Object.keys(m.config).length > 0 && [h("h3", null, "Config"), h("pre", { class: "text", tabindex: 0 }, JSON.stringify(m.config, null, 2))],
  );
}
