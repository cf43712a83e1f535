/** What the tests of plugins share: guests, and loading them here. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { load } from "../src/index.js";
import type { LoadOptions, ManifestInput, Plugin } from "../src/index.js";

const root = new URL("../../", import.meta.url); // from build/browser-test

const bytesOf = async (path: string): Promise<Uint8Array<ArrayBuffer>> => Uint8Array.from(await readFile(fileURLToPath(new URL(path, root))));

/** Guests that are committed. */
export const wat = (name: string) => bytesOf(`host/testdata/wat/${name}.wasm`);

/** Guests that are built; see build.mjs. */
export const built = (name: string) => bytesOf(`build/browser-test/${name}.wasm`);

/** Bytes written as hexadecimal. */
export const hex = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Loads a guest in Node, where loopback is allowed. */
export function loaded(wasm: Uint8Array, manifest: ManifestInput | string = {}, options: LoadOptions = {}): Promise<Plugin> {
  return load(wasm, manifest, { workerURL: new URL("./worker.mjs", import.meta.url), operator: { private: ["http://127.0.0.1:*"] }, ...options });
}

/** A manifest's part that allows this machine. */
export const loopback = { allow: [{ url: "http://127.0.0.1:*", private: true }] };
