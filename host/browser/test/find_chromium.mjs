// Where Chromium is, for every test that needs one.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome"];

/** The browser's path: SORTIE_CHROMIUM, or the first in PATH; undefined if there is none. */
export function findChromium() {
  if (process.env.SORTIE_CHROMIUM) return process.env.SORTIE_CHROMIUM;
  return (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** How it's started: as root too, with nothing of its own on the network. */
export const chromiumArgs = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"];
