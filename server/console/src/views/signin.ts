// Asks for a token.
import { get, Problem } from "../api";
import { h } from "../dom";
import { Status } from "../parts/notes";
import { setToken, setWho } from "../session";
import type { Identity } from "../types";
import type { View } from "../view";

/** What the server says of a token that is over. Of one that it doesn't know it says how programs send one, which is no help here. */
function over(detail: string): string {
  return /^This needs a token/.test(detail) ? "The server doesn't know it: copy it once more, or ask whoever runs the server for one." : detail;
}

/** why is what the server said to the last one; "": it was asked for none yet. */
export function signInView(why: string, done: () => void): View {
  const status = new Status();
  if (why !== "") status.say(`You were signed out. ${over(why)}`, "bad");
  const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-hint", class: "mono" });
  const button = h("button", { type: "submit", class: "primary" }, "Sign in");
  const submit = async (event: Event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!/^[\x21-\x7e]+$/.test(text)) {
      status.say(text === "" ? "Enter a token." : "That isn't a token: it has characters that none has. Copy it once more.", "bad");
      input.focus();
      return;
    }
    button.disabled = true;
    status.say("Asking the server…");
    setToken(text);
    try {
      setWho(await get<Identity>("/v1/whoami"));
      done();
    } catch (error) {
      setToken("");
      const refused = error instanceof Problem && error.code === "unauthorized";
      status.say(refused ? `That token isn't accepted. ${over(error.detail)}` : (error as Error).message, "bad");
      button.disabled = false;
      input.select();
      input.focus();
    }
  };
  return {
    title: "Sign in",
    element: h(
      "section",
      { class: "card signin" },
      h("h1", null, "Sign in"),
      h("p", { class: "muted" }, "This server asks for a token. It stays in this tab, and goes to this server only."),
      h(
        "form",
        { on: { submit: (event) => void submit(event) } },
        h("label", { for: "token" }, "Token"),
        input,
        h("p", { class: "hint", id: "token-hint" }, "SORTIE_ADMIN_TOKEN, or one made by ", h("code", null, "sortie token create --role read"), "."),
        h("div", { class: "actions" }, button),
        status.element,
      ),
    ),
  };
}
