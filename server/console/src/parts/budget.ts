// What an invocation used of each limit.
import { h } from "../dom";
import { bytes, count, ms } from "../format";
import type { Budget } from "../types";

const names: Record<string, string> = {
  "fetch.limits.requests": "Requests",
  "fetch.limits.total_bytes": "Bytes fetched",
  "limits.wall": "Wall time",
  "limits.stream": "Time of the stream",
  "limits.cpu": "CPU",
  "limits.memory": "Memory",
  "limits.input": "Request body",
  "limits.output": "Answer",
};

export function amount(n: number, unit: string): string {
  return unit === "bytes" ? bytes(n) : unit === "ms" ? ms(n) : count(n);
}

export function budgetBars(budget: Budget[]): HTMLElement {
  return h("ul", { class: "budget" }, budget.map(bar));
}

function bar(b: Budget): HTMLElement {
  const share = b.limit > 0 ? b.used / b.limit : 0;
  const label = names[b.name] ?? b.name;
  const text = `${amount(b.used, b.unit)} of ${amount(b.limit, b.unit)}`;
  return h(
    "li",
    null,
    h("div", { class: "budget-head" }, h("span", null, label), h("span", { class: "num" }, h("strong", null, amount(b.used, b.unit)), ` / ${amount(b.limit, b.unit)}`)),
    h(
      "div",
      {
        class: `meter ${share >= 1 ? "bad" : share >= 0.8 ? "notable" : ""}`,
        role: "meter",
        "aria-label": `${label} (${b.name})`,
        "aria-valuemin": 0,
        "aria-valuemax": b.limit,
        "aria-valuenow": Math.min(b.used, b.limit),
        "aria-valuetext": text,
        title: b.name,
      },
      h("span", { css: { width: `${Math.min(share, 1) * 100}%` } }),
    ),
  );
}
