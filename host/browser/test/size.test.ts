/** The package as it ships is small: what a page loads to run a plugin. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

test("under 60 kB gzipped, WASI included", () => {
  const dist = new URL("./dist/", import.meta.url);
  const files = readdirSync(dist).filter((name) => name.endsWith(".js"));
  assert.deepEqual(files.sort(), ["guest.js", "index.js", "worker.js"]);
  const sizes = files.map((name) => gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length);
  const total = sizes.reduce((a, b) => a + b);
  console.log(files.map((name, i) => `${name} ${sizes[i]}`).join(", "), "bytes gzipped");
  assert.ok(total < 60_000, `${total} bytes`);
});
