// The console: finds out who is there, and draws the view of the address.
import { get, Problem } from "./api";
import { h, replace } from "./dom";
import { failed, loading } from "./parts/notes";
import { parse, type Route } from "./router";
import { setToken, setWho, token, who } from "./session";
import { topBar } from "./parts/topbar";
import type { Identity } from "./types";
import type { Context, View } from "./view";
import { deployView } from "./views/deploy";
import { invocationView } from "./views/invocation";
import { invocationsView } from "./views/invocations";
import { localView } from "./views/local";
import { logsView } from "./views/logs";
import { overviewView } from "./views/overview";
import { pluginsView } from "./views/plugins";
import { policyView } from "./views/policy";
import { runView } from "./views/run";
import { signInView } from "./views/signin";
import { guardScripts } from "./trusted";

guardScripts();

const app = document.querySelector("#app")!;
const main = h("main", { id: "main", tabindex: -1 });
const head = h("header", { class: "top" });
const foot = h("footer", { class: "foot" });
app.replaceChildren(head, main, foot);

let leave = new AbortController();
let drawn = ""; // the address that was drawn last

function choose(route: Route): ((ctx: Context) => View | Promise<View>) | null {
  const [place = "plugins", name, tab = ""] = route.parts;
  switch (place) {
    case "plugins":
      if (name === undefined) return pluginsView;
      return { "": overviewView, run: runView, invocations: invocationsView, logs: logsView, policy: policyView }[tab] ?? null;
    case "deploy":
      return deployView;
    case "invocations":
      return name === undefined ? null : invocationView;
    case "browser":
      return name === undefined ? null : localView;
  }
  return null;
}

function nowhere(): View {
  return {
    title: "Not found",
    element: h("div", null, h("h1", null, "There is nothing here"), h("p", null, "The console has no such page. ", h("a", { href: "#/plugins" }, "See the plugins"), ".")),
  };
}

async function draw(): Promise<void> {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const route = parse(location.hash);
  const moved = drawn !== location.hash;
  drawn = location.hash;
  const slow = setTimeout(() => replace(main, loading("what is there")), 150);
  let view: View;
  try {
    if (who() === null) setWho(await get<Identity>("/v1/whoami", { signal }));
    view = await (choose(route) ?? nowhere)({ route, signal, redraw: () => void draw() });
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Problem && error.code === "unauthorized") {
      const refused = token() !== "" || who() !== null;
      setToken("");
      setWho(null);
      view = signInView(refused ? error.detail : "", () => void draw());
    } else {
      view = { title: "Failed", element: h("div", null, h("h1", { class: "visually-hidden" }, "Failed"), failed(error, () => void draw()), h("p", null, h("a", { href: "#/plugins" }, "See the plugins"))) };
    }
  } finally {
    clearTimeout(slow);
  }
  if (signal.aborted) return;
  replace(main, view.element);
  topBar(head, foot, route, () => {
    setToken("");
    setWho(null);
    void draw();
  });
  document.title = `${view.title} · Sortie`;
  main.dataset["view"] = view.title;
  if (moved) {
    scrollTo(0, 0);
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }
}

document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the fragment is an address here
  main.focus();
});
addEventListener("hashchange", () => void draw());
void draw();
