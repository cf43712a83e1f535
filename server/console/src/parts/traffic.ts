// Who gets how much of the traffic, as one bar.
import { h } from "../dom";
import type { Weight } from "../types";

export function trafficBar(traffic: Weight[]): HTMLElement {
  const shares = traffic.filter((w) => w.weight > 0).sort((a, b) => b.version - a.version);
  const colour = (w: Weight) => `s${(w.version - 1) % 5}`; // a version has the same one everywhere
  if (shares.length === 0) return h("p", { class: "muted" }, "No version takes traffic.");
  const text = shares.map((w) => `version ${w.version}: ${w.weight} %`).join(", ");
  return h(
    "div",
    { class: "traffic" },
    h(
      "div",
      { class: "traffic-bar", role: "img", "aria-label": `Traffic: ${text}` },
      shares.map((w) => h("span", { class: `share ${colour(w)}`, css: { "flex-grow": String(w.weight) } })),
    ),
    h(
      "ul",
      { class: "traffic-legend", "aria-hidden": "true" },
      shares.map((w) => h("li", null, h("span", { class: `dot ${colour(w)}` }), `v${w.version} `, h("strong", null, `${w.weight} %`))),
    ),
  );
}
