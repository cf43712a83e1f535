// What a view is: one place of the console, drawn for an address.
import type { Route } from "./router";

export interface View {
  title: string; // of the document, before " · Sortie"
  element: HTMLElement; // has one h1, which is focused when the user comes here
}

export interface Context {
  route: Route;
  signal: AbortSignal; // ends when the user goes elsewhere
  redraw: () => void; // the same place anew
}
