// The page of an invocation's report, whichever host made it.
import { h, replace, type Child } from "../dom";
import { bytes, clock, date, ms, plural } from "../format";
import { to } from "../router";
import type { Report } from "../types";
import { budgetBars } from "./budget";
import { copyButton } from "./copy";
import { icon } from "./icons";
import { failed } from "./notes";
import { pill } from "./outcome";
import { denied, waterfall, whyHref } from "./waterfall";

export function reportPage(report: Report, where: "edge" | "browser", har: () => Promise<void>): Child {
  const problem = h("div");
  const save = () => {
    replace(problem);
    har().catch((error: unknown) => replace(problem, failed(error)));
  };
  const refused = report.fetches.filter(denied);
  return [
    h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/plugins" }, "Plugins"), h("span", { "aria-hidden": "true" }, "/"), h("a", { href: to(["plugins", report.plugin]) }, report.plugin), h("span", { "aria-hidden": "true" }, "/"), h("a", { href: to(["plugins", report.plugin, "invocations"]) }, "Invocations")),
    h(
      "div",
      { class: "page-head" },
      h("h1", { class: "invocation-title" }, h("span", { class: "wf-method" }, report.method, " "), report.path),
      h("div", { class: "head-actions" }, pill(report.status, report.code), h("button", { type: "button", on: { click: save } }, icon("download"), "HAR")),
    ),
    h(
      "p",
      { class: "muted facts-line" },
      h("span", null, where === "edge" ? "At the edge" : "In this browser"),
      h("span", null, h("a", { href: to(["plugins", report.plugin]) }, report.plugin), ` v${report.version}`),
      h("time", { datetime: report.started }, date(report.started)),
      h("span", { class: "id" }, h("code", null, report.id), copyButton(report.id, "Copy the invocation's id")),
    ),
    problem,
    report.detail && h("div", { class: "note failure" }, icon("warning"), h("div", null, h("p", { class: "failure-title" }, report.detail), h("p", { class: "muted" }, h("code", null, report.code)))),
    h("dl", { class: "stats" }, stat("Total", ms(report.total_ms)), stat("Queue", ms(report.queue_ms)), stat("Guest", ms(report.guest_ms)), stat("CPU", ms(report.cpu_ms)), stat("Fetching", ms(report.fetch_ms)), stat("Memory", bytes(report.memory))),
    refused.length > 0 &&
      h(
        "section",
        { class: "card denied", "aria-labelledby": "denied" },
        h("h2", { id: "denied" }, icon("shield"), refused.length === 1 ? "The policy denied a fetch" : `The policy denied ${refused.length} fetches`),
        h("ul", { class: "denials" }, refused.slice(0, 20).map((f) => h("li", null, h("code", { class: "wrap" }, `${f.method} ${f.url}`), h("p", null, h("code", { class: "bad-text" }, f.code), " ", f.message), f.rule && h("p", { class: "muted" }, "Nearest rule: ", h("code", { class: "wrap" }, f.rule)), h("a", { href: whyHref(report, f) }, "Why was this denied?")))),
      ),
    h(
      "section",
      { class: "card", "aria-labelledby": "waterfall" },
      h("div", { class: "card-head" }, h("h2", { id: "waterfall" }, "Waterfall"), h("span", { class: "muted" }, plural(report.fetches.length, "fetch", "fetches"))),
      report.fetches.length === 0 ? h("p", { class: "muted" }, "The plugin fetched nothing.") : waterfall(report),
    ),
    h("section", { class: "card", "aria-labelledby": "budget" }, h("h2", { id: "budget" }, "Budget"), report.budget.length === 0 ? h("p", { class: "muted" }, "The invocation didn't get to its plugin.") : budgetBars(report.budget)),
    report.unenforced !== undefined && report.unenforced.length > 0 && h("section", { class: "card", "aria-labelledby": "unenforced" }, h("h2", { id: "unenforced" }, "What a browser can't hold"), h("p", null, report.unenforced.map((code) => [h("code", { class: "badge" }, code), " "]))),
    h(
      "section",
      { class: "card", "aria-labelledby": "log" },
      h("h2", { id: "log" }, "Log"),
      report.logs.length === 0
        ? h("p", { class: "muted" }, "The plugin logged nothing.")
        : h("ol", { class: "log", tabindex: 0, "aria-labelledby": "log" }, report.logs.map((l) => h("li", { class: `line ${l.level}` }, h("time", { datetime: l.time }, clock(l.time)), h("span", { class: `level ${l.level}` }, l.level), h("span", { class: "message" }, l.message)))),
    ),
  ];
}

function stat(name: string, value: string): HTMLElement {
  return h("div", null, h("dt", null, name), h("dd", { class: "num" }, value));
}
