// Builds what the tests run: themselves, the worker beside them, the package as it ships, and the guests. From the repository's root:
//
//	node host/browser/test/build.mjs && node --test build/browser-test/*.test.mjs
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const out = "build/browser-test";
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: "inherit", ...options });
const esbuild = (...args) => run("go", ["tool", "esbuild", "--bundle", "--format=esm", "--log-level=warning", ...args]);

mkdirSync(`${root}/${out}`, { recursive: true });
// What the tests import from packages is found from where they are built.
if (!existsSync(`${root}/${out}/node_modules`)) symlinkSync("../../host/browser/node_modules", `${root}/${out}/node_modules`);
const tests = readdirSync(`${root}/host/browser/test`).filter((name) => name.endsWith(".test.ts")).map((name) => `host/browser/test/${name}`);
const node = ["--platform=node", "--packages=external", `--outdir=${out}`, "--out-extension:.js=.mjs"];
esbuild(...tests, ...node);
esbuild("host/browser/src/worker.ts", ...node);
esbuild("host/browser/src/index.ts", "host/browser/src/worker.ts", "--target=es2022", "--minify", "--splitting", "--chunk-names=guest",
  "--legal-comments=none", "--external:yaml", "--external:node:*", `--outdir=${out}/dist`);

if (!process.argv.includes("--no-guests")) {
  for (const guest of ["host/testdata/guest", "host/testdata/streams", "host/testdata/kernel", "examples/raw-extism"]) {
    const file = `${root}/${out}/${guest.split("/").at(-1)}.wasm`;
    run("go", ["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", file, "."],
      { cwd: `${root}/${guest}`, env: { ...process.env, GOOS: "wasip1", GOARCH: "wasm", CGO_ENABLED: "0" } });
  }
}
