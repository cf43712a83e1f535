// One invocation that ran in this browser. Its report is in this tab's memory alone.
import { ran } from "../browser";
import { h } from "../dom";
import { download } from "../parts/copy";
import { empty } from "../parts/notes";
import { reportPage } from "../parts/reportpage";
import type { Context, View } from "../view";

export function localView(ctx: Context): View {
  const run = ran(ctx.route.parts[1]!);
  if (run === undefined) {
    return {
      title: "Not here any more",
      element: h("div", null, h("h1", null, "Run in a browser"), empty("Not here any more", h("p", null, "What runs in a browser is reported to that tab only, until it's reloaded. Run it once more: ", h("a", { href: "#/plugins" }, "see the plugins"), "."))),
    };
  }
  const har = async () => download(new Blob([JSON.stringify(await run.har())], { type: "application/har+json" }), `${run.report.id}.har`);
  return { title: `${run.report.method} ${run.report.path} · ${run.report.plugin}`, element: h("div", null, reportPage(run.report, "browser", har)) };
}
