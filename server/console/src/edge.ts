// Calls plugins at the server.
import { get, ofPlugin, Problem } from "./api";
import type { Answer } from "./browser";
import { can, credentials } from "./session";
import type { InvocationInfo, PluginInfo, Report } from "./types";

/** What a redirect looks like to a page, which isn't told where it leads. */
export const hiddenRedirect = "hidden_redirect";

/**
 * Where a plugin is called. What answers under the console's own host is called as the console is: a proxy that ends TLS without saying so
 * would have the server name itself with http.
 */
export function addressOf(p: PluginInfo): string {
  const url = new URL(p.url);
  return url.host === location.host ? location.origin + url.pathname : p.url;
}

/**
 * Calls the plugin. A plugin may redirect to anywhere, and a browser would carry our token's header along: so nothing is followed, and where the
 * plugins are at another origin than the console they get no token at all.
 */
export async function runThere(p: PluginInfo, pinned: number | null, path: string, init: RequestInit): Promise<Answer> {
  const url = addressOf(p) + (path === "/" ? "" : path);
  const ours = new URL(url).origin === location.origin;
  const headers = new Headers(init.headers);
  if (ours) for (const [name, value] of Object.entries(credentials())) headers.set(name, value);
  if (pinned !== null) headers.set("Sortie-Version", String(pinned));
  const began = performance.now();
  const since = Date.now();
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers, credentials: "omit", redirect: "manual", cache: "no-store", referrerPolicy: "no-referrer" });
  } catch {
    throw new Problem(
      ours ? "unreachable" : "other_origin",
      ours
        ? "The connection broke before the plugin's answer was there."
        : `Plugins are answered at ${new URL(url).origin}, which is another origin than the console's (admin_addr): a page may call them there only if their manifest's cors lists ${location.origin}.`,
    );
  }
  let body: Uint8Array;
  try {
    body = new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new Problem("cut_off", "The answer was cut off: the plugin failed after it had begun to answer. Its invocation's report says why.");
  }
  const took = performance.now() - began;
  const hidden = response.type === "opaqueredirect";
  const id = hidden ? await newest(p.name, since) : response.headers.get("Sortie-Invocation");
  const report = id !== null && can("read") ? await get<Report>(`/v1/invocations/${encodeURIComponent(id)}`).catch(() => null) : null;
  return {
    status: hidden ? (report?.status ?? 302) : response.status,
    headers: [...response.headers],
    body,
    took,
    code: hidden ? hiddenRedirect : (response.headers.get("Sortie-Error") ?? ""),
    report,
  };
}

/** The id of the invocation that began last, if that was since then. */
async function newest(name: string, since: number): Promise<string | null> {
  if (!can("read")) return null;
  const { invocations } = await get<{ invocations: InvocationInfo[] }>(`${ofPlugin(name, "invocations")}?limit=1`);
  const last = invocations[0];
  return last !== undefined && new Date(last.started).getTime() >= since - 1000 ? last.id : null;
}
