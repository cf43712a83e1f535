// One invocation, as the server reported it.
import { get, send } from "../api";
import { h } from "../dom";
import { download } from "../parts/copy";
import { reportPage } from "../parts/reportpage";
import type { Report } from "../types";
import type { Context, View } from "../view";

export async function invocationView(ctx: Context): Promise<View> {
  const path = `/v1/invocations/${encodeURIComponent(ctx.route.parts[1]!)}`;
  const report = await get<Report>(path, { signal: ctx.signal });
  const har = async () => {
    const archive = await send(path, { headers: { Accept: "application/har+json" } });
    download(await archive.blob(), `${report.id}.har`);
  };
  return { title: `${report.method} ${report.path} · ${report.plugin}`, element: h("div", null, reportPage(report, "edge", har)) };
}
