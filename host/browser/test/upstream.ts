/** An upstream on loopback that does by its path what upstreams do, and counts what is in flight. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Upstream {
  url: string;
  port: number;
  inFlight(): number;
  seen: string[]; // "METHOD /path", in the order of arrival
  close(): void;
}

export async function upstream(): Promise<Upstream> {
  let now = 0;
  const seen: string[] = [];
  const server = createServer((req, res) => {
    now++;
    res.on("close", () => now--);
    const url = new URL(req.url!, "http://x");
    seen.push(`${req.method} ${url.pathname}`);
    res.setHeader("Access-Control-Allow-Origin", "*"); // a page asks for it
    if (req.method === "OPTIONS") return void res.setHeader("Access-Control-Allow-Methods", "*").setHeader("Access-Control-Allow-Headers", "*").end();
    switch (url.pathname.match(/^\/(up|[a-z]*)/)![1]) {
      case "echo":
        req.pipe(res);
        break;
      case "up": {
        let body = "";
        req.on("data", (part) => (body += part));
        req.on("end", () => {
          res.writeHead(202);
          res.end(`${req.method} ${url.pathname} ${req.headers["x-abi"] ?? ""} ${body}. `);
        });
        break;
      }
      case "big":
        res.end(Buffer.alloc(1 << 20));
        break;
      case "hold":
        req.resume();
        break;
      case "stall":
        req.resume();
        res.write("be");
        break;
      case "cut":
        res.writeHead(200, { "content-length": "100" });
        res.write("some", () => req.socket.destroy());
        break;
      case "reset":
        req.socket.destroy();
        break;
      case "slow":
        setTimeout(() => res.end(url.search), Number(url.searchParams.get("ms")));
        break;
      case "lines": {
        let i = 0;
        const timer = setInterval(() => (i < 3 ? res.write(`line ${i++}\n`) : (clearInterval(timer), res.end())), 10);
        break;
      }
      default:
        res.setHeader("X-Twice", "1").end("ok");
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`, port, inFlight: () => now, seen,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Waits for a condition. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !condition(); ) {
    if (performance.now() > end) throw new Error(`not within 10s: ${what}`);
    await new Promise((next) => setTimeout(next, 5));
  }
}
