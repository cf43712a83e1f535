// What the places of one plugin have in common: its name, its address, its tabs.
import { get, ofPlugin } from "../api";
import { h, type Child } from "../dom";
import { addressOf } from "../edge";
import { to } from "../router";
import type { PluginInfo } from "../types";
import type { Context, View } from "../view";
import { copyButton } from "./copy";

const tabs = [
  ["", "Overview"],
  ["run", "Run"],
  ["invocations", "Invocations"],
  ["logs", "Logs"],
  ["policy", "Policy"],
] as const;

/** The plugin that the address names. */
export function named(ctx: Context): Promise<PluginInfo> {
  return get<PluginInfo>(ofPlugin(ctx.route.parts[1]!), { signal: ctx.signal });
}

export function pluginPage(p: PluginInfo, tab: (typeof tabs)[number][0], ...content: Child[]): View {
  const title = tabs.find(([key]) => key === tab)![1];
  return {
    title: tab === "" ? p.name : `${title} · ${p.name}`,
    element: h(
      "div",
      null,
      h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/plugins" }, "Plugins")),
      h("div", { class: "page-head plugin-head" }, h("h1", null, p.name, tab === "" ? null : h("span", { class: "visually-hidden" }, `: ${title}`)), h("p", { class: "address" }, h("code", null, addressOf(p)), copyButton(addressOf(p), "Copy the address"))),
      h(
        "nav",
        { class: "tabs", "aria-label": p.name },
        tabs.map(([key, text]) => h("a", { href: to(key === "" ? ["plugins", p.name] : ["plugins", p.name, key]), "aria-current": key === tab ? "page" : null }, text)),
      ),
      content,
    ),
  };
}
