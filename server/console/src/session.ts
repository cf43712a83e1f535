// Who uses the console. The token is kept for this tab alone (sessionStorage), goes to our own origin alone, and only in a header: never into an
// address, which histories and logs keep, nor a cookie, which a browser would send by itself.
import type { Identity } from "./types";

const key = "sortie.token";

let identity: Identity | null = null;

export function token(): string {
  return sessionStorage.getItem(key) ?? "";
}

export function setToken(text: string): void {
  if (text === "") sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, text);
}

export function who(): Identity | null {
  return identity;
}

export function setWho(now: Identity | null): void {
  identity = now;
}

const roles = ["none", "invoke", "read", "deploy", "admin"];

/** Whether the user's role is at least that one, for what they may see. The server decides what they may do. */
export function can(role: "invoke" | "read" | "deploy" | "admin"): boolean {
  return identity !== null && roles.indexOf(identity.role) >= roles.indexOf(role);
}

/** The header field that carries the token. A token is printable ASCII: what isn't can't be one, nor be sent. */
export function credentials(): Record<string, string> {
  const text = token();
  return text === "" ? {} : { "Sortie-Authorization": `Bearer ${text}` };
}
