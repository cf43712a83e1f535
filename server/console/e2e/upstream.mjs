// The upstream that the tests' plugin fetches from. It lets every page read it (CORS), as an API meant for browsers does.
import { createServer } from "node:http";

/** Starts it on a free port. seen has every request, in the order of their coming. */
export async function startUpstream() {
  const seen = [];
  const times = new Map(); // by path, how often it was asked for
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://upstream");
    seen.push({ method: request.method, path: url.pathname, headers: request.headers });
    const n = (times.get(url.pathname) ?? 0) + 1;
    times.set(url.pathname, n);
    const say = (status, body, headers = {}) => {
      response.writeHead(status, {
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "*",
        "access-control-allow-methods": "*",
        "access-control-expose-headers": "*",
        "content-type": "application/json",
        ...headers,
      });
      response.end(body);
    };
    const wait = Number(url.searchParams.get("wait") ?? 0);
    const hop = /^\/redirect\/(\d+)$/.exec(url.pathname)?.[1];
    if (request.method === "OPTIONS") say(204, "");
    else if (hop !== undefined) say(302, "", { location: hop === "0" ? "/item/redirected" : `/redirect/${hop - 1}` });
    else if (url.pathname === "/flaky") say(n % 3 === 0 ? 200 : 503, JSON.stringify({ tried: "often" }));
    else if (url.pathname === "/slow-once") setTimeout(() => say(200, '{"slow":"once"}'), n % 2 === 1 ? 700 : 30);
    else if (url.pathname.startsWith("/item/")) setTimeout(() => say(200, JSON.stringify({ item: url.pathname.slice(6), text: "x".repeat(200) })), wait);
    else say(404, '{"error":"no such thing"}');
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    seen,
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
