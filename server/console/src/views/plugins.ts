// All plugins, with their versions and traffic.
import { get, Problem } from "../api";
import { h } from "../dom";
import { ago, date, plural, short } from "../format";
import { icon } from "../parts/icons";
import { command, empty } from "../parts/notes";
import { trafficBar } from "../parts/traffic";
import { to } from "../router";
import { can } from "../session";
import type { PluginInfo } from "../types";
import type { Context, View } from "../view";

export async function pluginsView(ctx: Context): Promise<View> {
  if (!can("read")) throw new Problem("forbidden", "This token can call plugins, and see nothing of them: the console needs one with the role read.");
  const { plugins } = await get<{ plugins: PluginInfo[] }>("/v1/plugins", { signal: ctx.signal });
  return {
    title: "Plugins",
    element: h(
      "div",
      null,
      h(
        "div",
        { class: "page-head" },
        h("div", null, h("h1", null, "Plugins"), plugins.length > 0 && h("p", { class: "muted" }, plural(plugins.length, "plugin"))),
        can("deploy") && h("a", { class: "button primary", href: "#/deploy" }, icon("upload"), "Deploy"),
      ),
      plugins.length === 0 ? none() : h("ul", { class: "plugins" }, plugins.map(card)),
    ),
  };
}

function none(): HTMLElement {
  if (!can("deploy")) return empty("No plugin yet", h("p", null, "There is none that your token is for. Whoever deploys will see it here."));
  return empty(
    "No plugin yet",
    h("p", null, "Write one, build it and deploy it; it's callable at once:"),
    command("sortie new prices\ncd prices\nsortie build\nsortie deploy"),
    h("p", null, "Or ", h("a", { href: "#/deploy" }, "drop a module and its manifest here"), "."),
  );
}

function card(p: PluginInfo): HTMLElement {
  const place = (tab: string, text: string) => h("a", { class: "button small", href: to(["plugins", p.name, tab]), "aria-label": `${text} ${p.name}` }, text);
  return h(
    "li",
    { class: "card plugin" },
    h(
      "div",
      { class: "plugin-name" },
      h("h2", null, h("a", { href: to(["plugins", p.name]) }, p.name)),
      h("p", { class: "muted" }, h("span", { class: "badge" }, `v${p.version}`), " ", h("code", { title: p.digest }, short(p.digest)), " · ", h("time", { datetime: p.created, title: date(p.created) }, ago(p.created)), " · ", plural(p.versions, "version")),
    ),
    trafficBar(p.traffic),
    h("div", { class: "plugin-actions" }, place("run", "Run"), place("invocations", "Invocations"), place("logs", "Logs")),
  );
}
