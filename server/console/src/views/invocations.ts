// A plugin's last invocations.
import { get, ofPlugin } from "../api";
import { h } from "../dom";
import { addressOf } from "../edge";
import { ago, clock, ms, plural } from "../format";
import { command, empty } from "../parts/notes";
import { pill } from "../parts/outcome";
import { named, pluginPage } from "../parts/pluginpage";
import { to } from "../router";
import type { InvocationInfo } from "../types";
import type { Context, View } from "../view";

export async function invocationsView(ctx: Context): Promise<View> {
  const p = await named(ctx);
  const { invocations } = await get<{ invocations: InvocationInfo[] }>(`${ofPlugin(p.name, "invocations")}?limit=100`, { signal: ctx.signal });
  if (invocations.length === 0) {
    return pluginPage(p, "invocations", empty("No invocation yet", h("p", null, "Reports are kept in memory, until the server stops. Call the plugin, ", h("a", { href: to(["plugins", p.name, "run"]) }, "here"), " or so:"), command(`curl -i ${addressOf(p)}`)));
  }
  const longest = Math.max(...invocations.map((i) => i.total_ms));
  return pluginPage(
    p,
    "invocations",
    h(
      "section",
      { class: "card", "aria-labelledby": "invocations" },
      h("div", { class: "card-head" }, h("h2", { id: "invocations" }, "Last invocations"), h("button", { type: "button", on: { click: ctx.redraw } }, "Refresh")),
      h(
        "ul",
        { class: "invocations" },
        invocations.map((i) =>
          h(
            "li",
            null,
            h(
              "a",
              { href: to(["invocations", i.id]) },
              h("span", { class: "inv-what" }, h("span", { class: "wf-method" }, i.method, " "), h("span", { class: "inv-path" }, i.path)),
              pill(i.status, i.code),
              h("span", { class: "inv-bar", "aria-hidden": "true" }, h("span", { css: { width: `${Math.max((i.total_ms / longest) * 100, 1)}%` } })),
              h("span", { class: "inv-ms num" }, ms(i.total_ms)),
              h("span", { class: "inv-more muted" }, plural(i.fetches, "fetch", "fetches"), " · ", `v${i.version}`, " · ", h("time", { datetime: i.started, title: clock(i.started) }, ago(i.started))),
            ),
          ),
        ),
      ),
    ),
  );
}
