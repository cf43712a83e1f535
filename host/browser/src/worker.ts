/** The entry of a worker that runs guests, one at a time, for the page that made it. It runs in browsers and in Node. */
import type { Answered, FromWorker, Setup, ToWorker } from "./guest/protocol.js";
import { Runner } from "./guest/runner.js";
import type { Link } from "./guest/runner.js";
import { AtomicsLink, JSPILink } from "./guest/worker_link.js";
import type { Post } from "./guest/worker_link.js";

let runner: Runner | undefined;
let jspi: JSPILink | undefined;

function setUp(setup: Setup, post: Post): void {
  let link: Link;
  if (setup.link === "atomics") link = new AtomicsLink(post, setup.shared!);
  else link = jspi = new JSPILink(post);
  runner = new Runner(setup.module, setup.plan, link);
}

async function take(message: ToWorker, post: Post): Promise<void> {
  switch (message.kind) {
    case "setup":
      setUp(message, post);
      break;
    case "prepare":
      post({ kind: "begun" }, []);
      post(await runner!.prepare(), []);
      break;
    case "run":
      post({ kind: "begun" }, []);
      post(await runner!.run(message), []);
      break;
    case "answer":
      jspi?.answer(message satisfies Answered);
  }
}

/** A browser's worker; set at once, since what the page has sent doesn't wait for a module that awaits something. */
const scope = globalThis as unknown as { postMessage?: (m: FromWorker, t: Transferable[]) => void; onmessage: (event: { data: ToWorker }) => void; process?: unknown };
if (typeof scope.postMessage === "function") {
  const post: Post = (message, transfer) => scope.postMessage!(message, transfer);
  scope.onmessage = ({ data }) => void take(data, post);
} else {
  // In a variable, so that no bundler for pages looks for it.
  const name = "node:worker_threads";
  void (import(/* @vite-ignore */ /* webpackIgnore: true */ name) as Promise<typeof import("node:worker_threads")>).then(({ parentPort }) => {
    const post: Post = (message, transfer) => parentPort!.postMessage(message, transfer);
    parentPort!.on("message", (message: ToWorker) => void take(message, post));
  });
}
