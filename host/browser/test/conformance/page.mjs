// Serves the page that guests run in, from an origin of its own.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

const index = `<!doctype html>
<meta charset="utf-8">
<title>Conformance</title>
<link rel="icon" href="data:,">
<script type="module">
  import { load } from "/bundle/index.js";
  import { runCase } from "/case.mjs";
  globalThis.run = (one, mode) => runCase(load, one, mode);
</script>
`;

/**
 * @param bundle the folder that is served as /bundle/
 * @param isolated whether the page is to be cross-origin isolated, so that it has SharedArrayBuffer
 * @returns the page's URL, and what ends the server
 */
export async function servePage(bundle, isolated) {
  const server = createServer(async (request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    const path = normalize(new URL(request.url, "http://page.test").pathname);
    try {
      let body = index;
      if (path.startsWith("/bundle/")) body = await readFile(join(bundle, path.slice("/bundle/".length)));
      else if (path === "/case.mjs") body = await readFile(join(import.meta.dirname, "case.mjs"));
      response.setHeader("Content-Type", types[extname(path)] ?? "text/html");
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
