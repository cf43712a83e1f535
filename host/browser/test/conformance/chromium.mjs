// Runs the vectors of host/conformance in a page of Chromium: node chromium.mjs BUNDLE MODE. BUNDLE is a folder with the built index.js
// and worker.js. With MODE atomics the page is cross-origin isolated, with any other it isn't. SORTIE_CHROMIUM names the browser, else the first
// one in PATH is taken.
import { chromium } from "playwright-core";
import { chromiumArgs, findChromium } from "../find_chromium.mjs";
import { serve } from "./lines.mjs";
import { servePage } from "./page.mjs";

const [bundle, mode] = process.argv.slice(2);

const page = await servePage(bundle, mode === "atomics");
const running = await chromium.launch({
  executablePath: findChromium(),
  args: [
    ...chromiumArgs,
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
