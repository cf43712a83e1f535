/** A worker, whichever kind there is. */
import type { FromWorker, ToWorker } from "../guest/protocol.js";

export interface Port {
  post(message: ToWorker): void;
  terminate(): void;
  /** Whether it keeps the process alive, where there is one to keep. */
  hold(on: boolean): void;
}

export interface Listener {
  message(message: FromWorker): void;
  /** The worker has ended, or never began. */
  failed(error: unknown): void;
}

/** Starts a worker; workerURL is for scripts that aren't where bundlers and import.meta.url say. */
export async function openPort(listener: Listener, workerURL: string | URL | undefined): Promise<Port> {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  if (process?.versions?.node) return nodePort(listener, workerURL);
  const worker = webWorker(workerURL);
  worker.onmessage = ({ data }) => listener.message(data as FromWorker);
  worker.onerror = (event) => {
    event.preventDefault?.();
    listener.failed(new Error(event.message || "its script couldn't be loaded"));
  };
  return { post: (message) => worker.postMessage(message), terminate: () => worker.terminate(), hold: () => {} };
}

function webWorker(workerURL: string | URL | undefined): Worker {
  if (workerURL === undefined && sameOrigin(import.meta.url)) {
    // Written out, since that is the form that bundlers look for.
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  }
  const url = new URL(workerURL ?? new URL("./worker.js", import.meta.url), globalThis.location?.href);
  if (sameOrigin(url.href)) return new Worker(url, { type: "module" });
  // A worker's script must be of the page's own origin; a module that it imports need not.
  const script = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" }));
  const worker = new Worker(script, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(script), { once: true });
  return worker;
}

function sameOrigin(url: string): boolean {
  return new URL(url).origin === globalThis.location?.origin;
}

async function nodePort(listener: Listener, workerURL: string | URL | undefined): Promise<Port> {
  // In a variable, so that no bundler for pages looks for it.
  const name = "node:worker_threads";
  const { Worker } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof import("node:worker_threads");
  // It needs nothing of the process: neither its flags, some of which no worker takes, nor its environment.
  const worker = new Worker(new URL(workerURL ?? new URL("./worker.js", import.meta.url)), { execArgv: [], env: {} });
  worker.on("message", (message: FromWorker) => listener.message(message));
  worker.on("error", (error) => listener.failed(error));
  worker.on("exit", (code) => listener.failed(new Error(`it exited with status ${code}`)));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    terminate: () => void worker.terminate(),
    hold: (on) => (on ? worker.ref() : worker.unref()),
  };
}
