// The bar at the top: where one is, who one is, and how it looks.
import { h, replace } from "../dom";
import type { Route } from "../router";
import { token, who } from "../session";
import { icon, logo } from "./icons";

export function topBar(head: HTMLElement, foot: HTMLElement, route: Route, signOut: () => void): void {
  const place = route.parts[0] ?? "plugins";
  const me = who();
  const link = (href: string, text: string, here: boolean) => h("a", { href, "aria-current": here ? "page" : null }, text);
  replace(
    head,
    h(
      "div",
      { class: "bar" },
      h("a", { class: "brand", href: "#/plugins", "aria-label": "Sortie" }, logo(), h("span", null, "Sortie")),
      me && h("nav", { "aria-label": "Main" }, link("#/plugins", "Plugins", place === "plugins"), link("#/deploy", "Deploy", place === "deploy")),
      h(
        "div",
        { class: "bar-end" },
        me && h("span", { class: "identity", title: me.open ? "The server asks for no token: everybody on this machine is its operator." : `${me.name}, for ${me.plugins.join(", ")}` }, h("span", { class: `role ${me.open ? "open" : ""}` }, me.open ? "open" : me.role)),
        themeButton(),
        token() !== "" && me && h("button", { type: "button", class: "icon-button", title: "Sign out", "aria-label": "Sign out", on: { click: signOut } }, icon("out")),
      ),
    ),
  );
  replace(foot, h("span", null, me ? `Sortie ${me.build}` : "Sortie"), h("a", { href: "/openapi.yaml" }, "API"), me?.role === "admin" && h("a", { href: "/readyz" }, "Health"));
}

/** Goes from what the system says to the other, and back. */
function themeButton(): HTMLElement {
  const root = document.documentElement;
  const isDark = () => (root.dataset["theme"] ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = h("button", {
    type: "button",
    class: "icon-button",
    on: {
      click: () => {
        root.dataset["theme"] = isDark() ? "light" : "dark";
        localStorage.setItem("sortie.theme", root.dataset["theme"]);
        show();
      },
    },
  });
  const show = () => {
    const next = isDark() ? "light" : "dark";
    button.title = `Use the ${next} theme`;
    button.setAttribute("aria-label", button.title);
    replace(button, icon(isDark() ? "sun" : "moon"));
  };
  show();
  return button;
}
