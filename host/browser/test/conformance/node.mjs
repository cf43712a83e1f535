// Runs the vectors of host/conformance in Node: node node.mjs BUNDLE [MODE]. BUNDLE is a folder with the built index.js and worker.js.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { runCase } from "./case.mjs";
import { serve } from "./lines.mjs";

const [bundle, mode = "auto"] = process.argv.slice(2);
const { load } = await import(pathToFileURL(resolve(bundle, "index.js")).href);
await serve((one) => runCase(load, one, mode));
process.exit(0);
