// Runs the vectors of host/conformance in a page of Chromium: node chromium.mjs BUNDLE MODE. BUNDLE is a folder with the built index.js
// and worker.js. With MODE atomics the page is cross-origin isolated, with any other it isn't. SORTIE_CHROMIUM names the browser, else the first
// one in PATH is taken.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./lines.mjs";
import { servePage } from "./page.mjs";

const [bundle, mode] = process.argv.slice(2);

function browser() {
  if (process.env.SORTIE_CHROMIUM) return process.env.SORTIE_CHROMIUM;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {} // look on
    }
  }
  throw new Error("no Chromium in PATH; SORTIE_CHROMIUM may name one");
}

const page = await servePage(bundle, mode === "atomics");
const running = await chromium.launch({
  executablePath: browser(),
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    // What host/conformance wants of names: a public one with a private address, and some that have none.
    "--host-resolver-rules=MAP public.test 127.0.0.1, MAP *.invalid ~NOTFOUND",
  ],
});
const tab = await running.newPage();
if (process.env.SORTIE_BROWSER_LOG) tab.on("console", (message) => console.error(message.text()));
await tab.goto(page.url);
await tab.waitForFunction(() => "run" in globalThis);
await serve((one) => tab.evaluate(([one, mode]) => globalThis.run(one, mode), [one, mode]));
await running.close();
page.close();
