// A plugin's versions and who gets how much of the traffic, which can be changed here.
import { get, ofPlugin, send } from "../api";
import { h, replace } from "../dom";
import { ago, date, short } from "../format";
import { icon } from "../parts/icons";
import { command, failed, Status } from "../parts/notes";
import { named, pluginPage } from "../parts/pluginpage";
import { trafficBar } from "../parts/traffic";
import { go, to } from "../router";
import { can } from "../session";
import type { PluginInfo, VersionInfo } from "../types";
import type { Context, View } from "../view";
import { changesCard } from "./changes";

export async function overviewView(ctx: Context): Promise<View> {
  const p = await named(ctx);
  const [{ versions }, changes] = await Promise.all([
    get<{ versions: VersionInfo[] }>(ofPlugin(p.name, "versions"), { signal: ctx.signal }),
    changesCard(p.name, ctx.signal),
  ]);
  return pluginPage(p, "", trafficCard(p, versions, ctx), changes, can("deploy") && dangerCard(p));
}

/** What a change says it expects, so that it can't undo somebody else's. */
function expecting(p: PluginInfo): Record<string, string> {
  return p.revision > 0 ? { "If-Match": `"${p.revision}"` } : {};
}

function trafficCard(p: PluginInfo, versions: VersionInfo[], ctx: Context): HTMLElement {
  const editable = can("deploy");
  const status = new Status();
  const bar = h("div");
  const problem = h("div");
  const inputs = new Map(
    versions.map((v) => [
      v.version,
      h("input", { type: "number", min: 0, max: 100, step: 1, value: String(v.weight), "aria-label": `Share of version ${v.version} in percent`, class: "weight", on: { input: () => show() } }),
    ]),
  );
  const table = () => versions.map((v) => ({ version: v.version, weight: Number(inputs.get(v.version)!.value) || 0 })).filter((w) => w.weight > 0);
  const save = h("button", { type: "submit", class: "primary" }, "Save traffic");
  const reset = h("button", { type: "button", on: { click: () => set((v) => v.weight) } }, "Reset");
  const set = (weight: (v: VersionInfo) => number) => {
    for (const v of versions) inputs.get(v.version)!.value = String(weight(v));
    show();
  };
  const show = () => {
    const now = table();
    const sum = now.reduce((all, w) => all + w.weight, 0);
    const changed = versions.some((v) => (Number(inputs.get(v.version)!.value) || 0) !== v.weight);
    replace(bar, trafficBar(now));
    save.disabled = !changed || sum !== 100;
    reset.disabled = !changed;
    if (changed && sum !== 100) status.say(`The shares are ${sum} % together; they must be 100 %.`, "bad");
    else status.say(changed ? "Not saved yet." : "");
  };
  const change = async (what: string, path: string, method: string, body?: string) => {
    replace(problem);
    status.say(`${what}…`);
    try {
      await send(ofPlugin(p.name, path), { method, headers: { ...expecting(p), "Content-Type": "application/json" }, ...(body === undefined ? {} : { body }) });
      ctx.redraw();
    } catch (error) {
      status.say("");
      replace(problem, failed(error, () => ctx.redraw()));
    }
  };
  show();
  return h(
    "section",
    { class: "card", "aria-labelledby": "versions" },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: "versions" }, "Versions and traffic"),
      editable && h("button", { type: "button", on: { click: () => void change("Rolling back", "rollback", "POST") }, title: "The traffic as it was before its last change" }, icon("back"), "Roll back"),
    ),
    bar,
    h(
      "form",
      {
        on: {
          submit: (event) => {
            event.preventDefault();
            void change("Moving traffic, once the versions are loaded", "traffic", "PUT", JSON.stringify(table()));
          },
        },
      },
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Versions" },
        h(
          "table",
          { class: "data versions" },
          h("thead", null, h("tr", null, ["Version", "Traffic", "Module", "Deployed", "By", "Note", ""].map((text) => h("th", { scope: "col" }, text === "" ? h("span", { class: "visually-hidden" }, "Actions") : text)))),
          h(
            "tbody",
            null,
            versions.map((v) =>
              h(
                "tr",
                { class: v.weight > 0 ? "serving" : "" },
                h("th", { scope: "row" }, h("span", { class: "badge" }, `v${v.version}`)),
                h("td", null, editable ? h("span", { class: "percent" }, inputs.get(v.version)!, h("span", { "aria-hidden": "true" }, "%")) : `${v.weight} %`),
                h("td", null, h("code", { title: v.digest }, short(v.digest))),
                h("td", null, h("time", { datetime: v.created, title: date(v.created) }, ago(v.created))),
                h("td", null, v.by),
                h("td", { class: "wrap" }, v.note),
                h(
                  "td",
                  { class: "row-actions" },
                  h("a", { class: "button small", href: to(["plugins", p.name, "run"], { version: String(v.version) }), "aria-label": `Run version ${v.version}` }, "Run"),
                  editable && h("button", { type: "button", class: "small", "aria-label": `All to this version: v${v.version}`, on: { click: () => set((other) => (other === v ? 100 : 0)) } }, "All to this"),
                ),
              ),
            ),
          ),
        ),
      ),
      editable && h("div", { class: "actions" }, save, reset, status.element),
    ),
    problem,
    !editable && h("p", { class: "hint" }, "Moving traffic needs the role deploy."),
    editable && h("details", { class: "hint-more" }, h("summary", null, "From the command line"), command(`sortie traffic ${p.name} ${versions.slice(0, 2).map((v, i) => `${v.version}=${versions.length === 1 ? 100 : i === 0 ? 10 : 90}`).join(" ")}\nsortie rollback ${p.name}`)),
  );
}

function dangerCard(p: PluginInfo): HTMLElement {
  const problem = h("div");
  const typed = h("input", { id: "remove-name", autocomplete: "off", spellcheck: "false", on: { input: () => (confirm.disabled = typed.value !== p.name) } });
  const confirm = h("button", { type: "submit", class: "danger", disabled: true }, "Remove it");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "remove-title" },
    h(
      "form",
      {
        method: "dialog",
        on: {
          submit: (event) => {
            event.preventDefault();
            void remove();
          },
        },
      },
      h("h2", { id: "remove-title" }, `Remove ${p.name}?`),
      h("p", null, "Its versions, reports and logs go. What runs goes on to its end. There is no way back."),
      h("label", { for: "remove-name" }, "Its name, to be sure"),
      typed,
      problem,
      h("div", { class: "actions" }, confirm, h("button", { type: "button", on: { click: () => dialog.close() } }, "Keep it")),
    ),
  );
  const remove = async () => {
    try {
      await send(ofPlugin(p.name), { method: "DELETE", headers: expecting(p) });
      dialog.close();
      go(["plugins"]);
    } catch (error) {
      replace(problem, failed(error));
    }
  };
  return h(
    "section",
    { class: "card danger-card", "aria-labelledby": "danger" },
    h("div", { class: "card-head" }, h("div", null, h("h2", { id: "danger" }, "Remove this plugin"), h("p", { class: "muted" }, "With all its versions.")), h("button", { type: "button", class: "danger", on: { click: () => dialog.showModal() } }, "Remove…")),
    dialog,
  );
}
