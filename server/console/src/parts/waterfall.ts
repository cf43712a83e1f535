// The waterfall of an invocation: a row for each fetch and, where it took several, one for each request that was sent for it (attempts, hops,
// hedges), all on one axis that begins when the invocation arrived. The colour is the outcome, the tone the phase; a loser is striped, a failure
// hatched, and what sent nothing is a mark. Each row says the same in words, and opens to a table.
import { h, type Child } from "../dom";
import { bytes, ms, plural, target } from "../format";
import type { Exchange, Fetch, Report } from "../types";
import { exchangeOutcome, exchangeText, outcomeOf, outcomeText, type Outcome } from "./outcome";

const phases = [
  ["blocked", "blocked_ms", "waiting for a slot"],
  ["dns", "dns_ms", "resolving the name"],
  ["connect", "connect_ms", "connecting"],
  ["tls", "tls_ms", "TLS handshake"],
  ["send", "send_ms", "sending"],
  ["wait", "wait_ms", "waiting for the first byte"],
  ["receive", "receive_ms", "receiving"],
] as const;

/** The axis: milliseconds since the invocation arrived. */
interface Axis {
  end: number;
  percent(at: number): string;
}

export function waterfall(report: Report): HTMLElement {
  const axis = axisOf(report);
  const rows = report.fetches.flatMap((f, i) => fetchRows(report, f, i, axis));
  return h(
    "div",
    { class: "waterfall" },
    h("div", { class: "wf-axis", "aria-hidden": "true" }, h("span"), h("div", { class: "wf-ticks" }, ticks(axis))),
    h("ol", { class: "wf-rows", "aria-label": "Fetches, in the order of their calls" }, whole(report, axis), rows),
    legend(report),
  );
}

function axisOf(report: Report): Axis {
  const ends = report.fetches.flatMap((f) => [f, ...f.exchanges]).map((x) => report.queue_ms + x.start_ms + x.elapsed_ms);
  const end = Math.max(report.total_ms, 0.001, ...ends);
  return { end, percent: (at) => `${Math.min(Math.max((at / end) * 100, 0), 100)}%` };
}

/** Four to eight round times. */
function ticks(axis: Axis): HTMLElement[] {
  const rough = axis.end / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
  const all: HTMLElement[] = [];
  for (let i = 0; i * step <= axis.end * 0.96; i++) {
    const at = i * step;
    all.push(h("span", { css: { left: axis.percent(at) } }, at >= 1000 ? `${+(at / 1000).toFixed(2)} s` : `${+at.toPrecision(3)} ms`));
  }
  return all;
}

/** The invocation itself. */
function whole(report: Report, axis: Axis): HTMLElement {
  return h(
    "li",
    { class: "wf-row wf-whole" },
    h(
      "div",
      { class: "wf-line" },
      h("span", { class: "wf-label" }, h("span", { class: "wf-target" }, "Invocation"), h("span", { class: "wf-end" }, ms(report.total_ms))),
      h(
        "span",
        { class: "wf-track" },
        h("span", { class: "wf-bar queue", css: { left: "0%", width: axis.percent(report.queue_ms) } }),
        h("span", { class: "wf-bar guest", css: { left: axis.percent(report.queue_ms), width: axis.percent(report.total_ms - report.queue_ms) } }),
      ),
    ),
  );
}

function fetchRows(report: Report, f: Fetch, index: number, axis: Axis): HTMLElement[] {
  const outcome = outcomeOf(f);
  const from = report.queue_ms + f.start_ms;
  const several = f.exchanges.length > 1;
  const bars: Child[] =
    f.exchanges.length === 0
      ? [h("span", { class: `wf-mark ${outcome}`, css: { left: axis.percent(from) } })]
      : [
          h("span", { class: `wf-bar whole ${outcome}`, css: { left: axis.percent(from), width: axis.percent(f.elapsed_ms) } }),
          several ? null : f.exchanges.map((x) => exchangeBar(report, x, axis)),
        ];
  const first = row({
    id: `fetch-${index}`,
    outcome,
    method: f.method,
    label: target(f.url),
    end: outcomeText(f),
    start: f.start_ms,
    took: f.elapsed_ms,
    badges: [
      f.attempts > 1 && plural(f.attempts, "attempt"),
      f.hops > 0 && plural(f.hops, "hop"),
    ],
    bars,
    details: () => fetchDetails(report, f),
    kind: "fetch",
  });
  if (!several) return [first];
  return [
    first,
    ...f.exchanges.map((x, n) =>
      row({
        id: `fetch-${index}-${n}`,
        outcome: exchangeOutcome(x),
        method: "",
        label: branch(x, f),
        end: exchangeText(x),
        start: x.start_ms,
        took: x.elapsed_ms,
        badges: [x.hop > 0 && target(x.url)],
        bars: [exchangeBar(report, x, axis)],
        details: () => exchangeTable([x]),
        kind: "exchange",
      }),
    ),
  ];
}

interface Row {
  id: string;
  outcome: Outcome;
  method: string;
  label: string;
  end: string;
  start: number;
  took: number;
  badges: (string | false)[];
  bars: Child[];
  details: () => HTMLElement;
  kind: "fetch" | "exchange";
}

function row(r: Row): HTMLElement {
  const details = h("div", { class: "wf-details", id: `${r.id}-details`, hidden: true });
  const button = h(
    "button",
    {
      type: "button",
      class: "wf-line",
      "aria-expanded": "false",
      "aria-controls": details.id,
      "data-start": r.start,
      on: {
        click: () => {
          if (details.childElementCount === 0) details.append(r.details());
          details.hidden = !details.hidden;
          button.setAttribute("aria-expanded", String(!details.hidden));
        },
      },
    },
    h(
      "span",
      { class: "wf-label" },
      h("span", { class: "wf-target", title: r.label }, r.method !== "" && h("span", { class: "wf-method" }, r.method, " "), shrinking(r.label)),
      r.badges.map((b) => b && h("span", { class: "badge" }, b)),
      h("span", { class: "wf-end" }, h("span", { class: `wf-outcome ${r.outcome}` }, r.end), h("span", { class: "wf-time" }, ms(r.took))),
    ),
    h("span", { class: "wf-track", "aria-hidden": "true" }, r.bars),
    h("span", { class: "visually-hidden" }, `begins at ${ms(r.start)}`),
  );
  return h("li", { class: `wf-row ${r.kind}`, id: r.id }, button, details);
}

/** A host and a path, of which the host gives way first: fetches of one plugin mostly differ in what follows it. */
function shrinking(label: string): Child {
  const [, host = "", path = ""] = /^([^/]*)(\/.*)?$/s.exec(label) ?? [];
  return path === "" ? label : [h("span", { class: "wf-host" }, host), h("span", { class: "wf-path" }, path)];
}

/** One request: its phases side by side. What they leave of its time isn't told of. */
function exchangeBar(report: Report, x: Exchange, axis: Axis): HTMLElement {
  const parts = phases.flatMap(([name, key]) => {
    const took = x[key] ?? 0;
    return took > 0 ? [h("span", { class: `phase ${name}`, css: { "flex-grow": String(took) } })] : [];
  });
  const from = report.queue_ms + x.start_ms;
  const title = phases.flatMap(([name, key]) => (x[key] === undefined ? [] : [`${name} ${ms(x[key])}`])).join(" · ");
  return h("span", { class: `wf-bar exchange ${exchangeOutcome(x)}`, title, css: { left: axis.percent(from), width: axis.percent(x.elapsed_ms) } }, parts);
}

function branch(x: Exchange, f: Fetch): string {
  const words: string[] = [];
  if (f.attempts > 1 || x.attempt > 1) words.push(`try ${x.attempt}`);
  if (f.hops > 0 || x.hop > 0) words.push(`hop ${x.hop}`);
  if (x.hedge) words.push("hedge");
  return words.length > 0 ? words.join(" · ") : "request";
}

function fetchDetails(report: Report, f: Fetch): HTMLElement {
  const facts: [string, Child][] = [
    ["URL", h("code", { class: "wrap" }, `${f.method} ${f.url}`)],
    ["Outcome", `${f.state}${f.status ? `, status ${f.status}` : ""}`],
    ["Code", f.code && h("code", null, f.code)],
    ["Why", f.message],
    ["Rule", f.rule && h("code", { class: "wrap" }, f.rule)],
    ["States", f.states.map((s) => `${s.state} at ${ms(s.at_ms)}`).join(" → ")],
    ["Decoded", bytes(f.bytes)],
    ["Cache", f.cache],
  ];
  return h(
    "div",
    null,
    h("dl", { class: "facts" }, facts.map(([name, value]) => value && h("div", null, h("dt", null, name), h("dd", null, value)))),
    f.exchanges.length > 0 && exchangeTable(f.exchanges),
    denied(f) && h("p", null, h("a", { href: whyHref(report, f) }, "Why was this denied?")),
  );
}

/** Whether the policy forbade a fetch. */
export function denied(f: Fetch): boolean {
  return f.code === "host_denied" || f.code === "method_denied" || f.code === "address_denied";
}

export function whyHref(report: Report, f: Fetch): string {
  const query = new URLSearchParams({ url: f.url, method: f.method, version: String(report.version) });
  return `#/plugins/${encodeURIComponent(report.plugin)}/policy?${query}`;
}

function exchangeTable(exchanges: Exchange[]): HTMLElement {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "The requests' phases" },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        null,
        h("tr", null, ["Request", "Outcome", "Start", ...phases.map(([name]) => name), "Total", "Sent", "Received"].map((name) => h("th", { scope: "col" }, name))),
      ),
      h(
        "tbody",
        null,
        exchanges.map((x) =>
          h(
            "tr",
            null,
            h("th", { scope: "row" }, `${x.method} ${target(x.url)}`, h("br"), h("small", null, [`try ${x.attempt}`, `hop ${x.hop}`, x.hedge && "hedge", x.reused && "reused connection", x.protocol].filter(Boolean).join(" · "))),
            h("td", null, exchangeText(x)),
            h("td", { class: "num" }, ms(x.start_ms)),
            phases.map(([, key]) => h("td", { class: "num" }, x[key] === undefined ? "–" : ms(x[key]))),
            h("td", { class: "num" }, ms(x.elapsed_ms)),
            h("td", { class: "num" }, bytes(x.sent)),
            h("td", { class: "num" }, bytes(x.received)),
          ),
        ),
      ),
    ),
  );
}

/** What the tones and patterns mean, of those that are there. */
function legend(report: Report): HTMLElement {
  const exchanges = report.fetches.flatMap((f) => f.exchanges);
  const outcomes = new Set<Outcome>([...report.fetches.map(outcomeOf), ...exchanges.map(exchangeOutcome)]);
  const words: [Outcome, string][] = [
    ["good", "fulfilled"],
    ["notable", "error status"],
    ["bad", "failed or denied"],
    ["cancelled", "cancelled"],
    ["open", "not settled"],
  ];
  return h(
    "ul",
    { class: "wf-legend" },
    words.map(([kind, word]) => outcomes.has(kind) && h("li", null, h("span", { class: `swatch wf-bar exchange ${kind}`, "aria-hidden": "true" }, h("span", { class: "phase receive" })), word)),
    phases.map(
      ([name, key, word]) =>
        exchanges.some((x) => (x[key] ?? 0) > 0) && h("li", null, h("span", { class: "swatch wf-bar exchange neutral", "aria-hidden": "true" }, h("span", { class: `phase ${name}` })), word),
    ),
  );
}
