// What is shown in place of content: that there is none, that it's coming, that it failed. Each says what to do.
import { Problem } from "../api";
import { h, type Child } from "../dom";
import { icon } from "./icons";

export function empty(title: string, ...what: Child[]): HTMLElement {
  return h("div", { class: "note empty" }, icon("inbox"), h("h2", null, title), h("div", { class: "prose" }, what));
}

export function loading(what: string): HTMLElement {
  return h("div", { class: "loading", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), `Loading ${what}…`);
}

/** What to do about a failure, by its code. */
const advice: Record<string, string> = {
  unauthorized: "Sign in with a token.",
  forbidden: "Ask whoever runs the server for a token with that role, or for that plugin, and sign in with it.",
  not_found: "Reports are kept in memory, for the last invocations only, until the server stops. Call the plugin again for a new one.",
  plugin_not_found: "It may have been removed. The list of plugins has those there are.",
  conflict: "Somebody else changed it meanwhile. It's shown as it is now; repeat what you still want.",
  invalid_manifest: "Mend the manifest here, and deploy again.",
  invalid_wasm: "Build the module again: sortie build says what it checks.",
  rate_limited: "Wait a moment, and try again.",
  overloaded: "Wait a moment, and try again.",
  draining: "Wait until it has started again, and try then.",
  browser_isolation: "Use a browser that has JavaScript Promise Integration, or reach the console by HTTPS or as localhost.",
  console_error: "Reload the page. If it happens again, it's a fault of the console: the browser's own console says more.",
  other_origin: "Call it from the command line; below is how.",
  unreachable: "Try again when it's there.",
};

export function failed(error: unknown, retry?: () => void): HTMLElement {
  const problem = error instanceof Problem ? error : new Problem(codeOf(error), error instanceof Error ? error.message : String(error));
  return h(
    "div",
    { class: "note failure", role: "alert" },
    icon("warning"),
    h("div", null, h("p", { class: "failure-title" }, problem.detail), h("p", { class: "muted" }, h("code", null, problem.code), " ", advice[problem.code])),
    retry && h("button", { type: "button", on: { click: retry } }, "Try again"),
  );
}

/** The code of an error of the browser host; what else fails in the console is a fault of its own. */
function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "console_error";
}

/** A line that is read out when it changes. */
export class Status {
  readonly element = h("p", { class: "status-line", role: "status" });

  say(text: string, kind: "" | "good" | "bad" = ""): void {
    this.element.className = `status-line ${kind}`;
    this.element.textContent = text;
  }
}

export function command(text: string): HTMLElement {
  return h("pre", { class: "command" }, h("code", null, text));
}
