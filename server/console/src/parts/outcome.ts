// How something went, as a word and a colour. The word always says it too.
import { h } from "../dom";
import type { Exchange, Fetch } from "../types";

export type Outcome = "good" | "notable" | "bad" | "cancelled" | "open";

/** An HTTP status, with the code of the failure if there was one. */
export function pill(status: number, code?: string): HTMLElement {
  const kind = code ? "bad" : status >= 500 ? "bad" : status >= 400 ? "notable" : "good";
  return h("span", { class: `pill ${kind}` }, code ? `${status} ${code}` : String(status));
}

/** What became of a fetch. An error status is the upstream's answer, so the fetch is fulfilled, yet worth a look. */
export function outcomeOf(f: Fetch): Outcome {
  if (f.state === "cancelled") return "cancelled";
  if (f.state === "pending" || f.state === "running") return "open";
  if (f.state === "rejected" || f.code) return "bad";
  return (f.status ?? 0) >= 400 ? "notable" : "good";
}

export function outcomeText(f: Fetch): string {
  const end = f.code && f.status && f.code !== "cancelled" ? `${f.code} ${f.status}` : (f.code ?? (f.status ? String(f.status) : f.state));
  return f.cache ? `${end} ${f.cache}` : end;
}

/** What became of one request of a fetch. Of two hedged ones the loser is cancelled. */
export function exchangeOutcome(x: Exchange): Outcome {
  if (x.code === "cancelled") return "cancelled";
  if (x.code) return "bad";
  if (!x.status) return "open";
  return x.status >= 400 ? "notable" : "good";
}

export function exchangeText(x: Exchange): string {
  return x.code ? (x.status ? `${x.code} ${x.status}` : x.code) : x.status ? String(x.status) : "no answer";
}
