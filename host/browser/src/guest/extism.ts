/**
 * The functions of extism:host/env and extism:host/user as a raw plugin imports them. Blocks, variables and configuration are here, beside
 * the guest; what fetches goes to the page. See host/internal/abi/extism*.go.
 */
import { asking, Exit, local, then } from "./host.js";
import type { Host, Imports, Soon } from "./host.js";
import { Kernel } from "./kernel.js";
import { debug, error, info, warn } from "./log.js";
import type { Printer } from "./log.js";
import type { Config } from "./protocol.js";
import { bytesOf, Decoder, textOf } from "./wire.js";
import { maxFailure, maxJSON, maxLog, maxVars } from "./limits.js";

/** What a raw plugin has for one invocation. */
export class Extism {
  kernel: Kernel;
  private vars = new Map<string, Uint8Array>();
  private varBytes = 0;
  private last = { status: 0, headers: "" }; // of the last http_request

  constructor(
    private readonly host: Host,
    private readonly log: Printer,
    private readonly config: Config,
    private readonly room: (size: number) => boolean,
  ) {
    this.kernel = new Kernel(room);
  }

  /** Readies it for an invocation with that input; false if there is no room for it. */
  begin(input: Uint8Array): boolean {
    this.kernel = new Kernel(this.room);
    this.vars.clear();
    this.varBytes = 0;
    this.last = { status: 0, headers: "" };
    const offset = this.kernel.write(input);
    if (offset === undefined) return false;
    this.kernel.input = { offset, length: input.length };
    return true;
  }

  /** What the guest answered; undefined if it is longer than most. */
  output(most: number): { length: number; bytes: Uint8Array | undefined } {
    const { offset, length } = this.kernel.output;
    const there = Math.max(Math.min(length, this.kernel.size - offset), 0);
    return { length: there, bytes: there <= most ? this.kernel.range(offset, there) : undefined };
  }

  /** What the guest gave error_set. */
  said(): string {
    return textOf(this.kernel.read(this.kernel.error).subarray(0, maxFailure));
  }

  private logging(level: number) {
    return local((block: bigint) => {
      const at = offset(block);
      this.log.add(level, this.kernel.read(at).subarray(0, maxLog));
      this.kernel.release(at);
    });
  }

  /** A new block, or 0. */
  private block(bytes: Uint8Array): bigint {
    return BigInt(this.kernel.write(bytes) ?? 0);
  }

  private outside(): never {
    this.host.fail("it wrote to Extism's memory outside of the blocks it was given");
    throw new Exit(1);
  }

  env(): Imports {
    const memory = () => this.kernel;
    return {
      alloc: local((n: bigint) => BigInt(memory().alloc(offset(n), true))),
      free: local((at: bigint) => memory().release(offset(at))),
      reset: local(() => memory().reset()),
      length: local((at: bigint) => BigInt(memory().length(offset(at)))),
      length_unsafe: local((at: bigint) => BigInt(memory().length(offset(at)))),
      load_u8: local((at: bigint) => memory().load8(offset(at))),
      load_u64: local((at: bigint) => memory().load64(offset(at))),
      store_u8: local((at: bigint, v: number) => void (memory().store8(offset(at), v) || this.outside())),
      store_u64: local((at: bigint, v: bigint) => void (memory().store64(offset(at), v) || this.outside())),
      memory_bytes: local(() => BigInt(memory().size)),

      input_set: local((at: bigint, n: bigint) => void (memory().input = { offset: offset(at), length: offset(n) })),
      input_length: local(() => BigInt(memory().input.length)),
      input_offset: local(() => BigInt(memory().input.offset)),
      input_load_u8: local((at: bigint) => (at >= 0n && at < memory().input.length ? memory().load8(memory().input.offset + offset(at)) : 0)),
      input_load_u64: local((at: bigint) => (at >= 0n && offset(at) + 8 <= memory().input.length ? memory().load64(memory().input.offset + offset(at)) : 0n)),
      output_set: local((at: bigint, n: bigint) => void (memory().output = { offset: offset(at), length: offset(n) })),
      output_length: local(() => BigInt(memory().output.length)),
      output_offset: local(() => BigInt(memory().output.offset)),
      error_set: local((at: bigint) => void (memory().error = offset(at))),
      error_get: local(() => BigInt(memory().error)),

      config_get: local((key: bigint) => {
        const name = textOf(memory().read(offset(key)));
        return Object.hasOwn(this.config.texts, name) ? this.block(bytesOf(this.config.texts[name]!)) : 0n;
      }),
      var_get: local((name: bigint) => {
        const value = this.vars.get(textOf(memory().read(offset(name))));
        memory().release(offset(name));
        return value ? this.block(value) : 0n;
      }),
      var_set: local((name: bigint, value: bigint) => this.setVar(offset(name), offset(value))),

      http_request: asking((request: bigint, body: bigint) => this.httpRequest(offset(request), offset(body))),
      http_status_code: local(() => this.last.status),
      http_headers: local(() => (this.last.status === 0 ? 0n : this.block(bytesOf(this.last.headers)))),

      get_log_level: local(() => 1), // debug, as Extism numbers them
      log_trace: this.logging(debug - 4),
      log_debug: this.logging(debug),
      log_info: this.logging(info),
      log_warn: this.logging(warn),
      log_error: this.logging(error),
    };
  }

  user(): Imports {
    return { fetch_all: asking((request: bigint) => this.fetchAll(offset(request))) };
  }

  /** A full store traps, as in Extism: the function has no result to say it with. */
  private setVar(nameAt: number, valueAt: number): void {
    const name = textOf(this.kernel.read(nameAt));
    const value = this.kernel.read(valueAt);
    this.kernel.release(nameAt);
    const old = this.vars.get(name);
    if (old) {
      this.varBytes -= name.length + old.length;
      this.vars.delete(name);
    }
    if (valueAt === 0) return;
    this.kernel.release(valueAt);
    this.varBytes += name.length + value.length;
    if (this.varBytes > maxVars) throw new Error(`var_set: the plugin's variables take more than ${maxVars} bytes`);
    this.vars.set(name, value);
  }

  private httpRequest(requestAt: number, bodyAt: number): Soon<bigint> {
    const request = this.kernel.read(requestAt);
    const body = this.kernel.read(bodyAt);
    this.kernel.release(requestAt);
    this.kernel.release(bodyAt);
    this.last = { status: 0, headers: "" };
    return then(this.host.ask("http_request", [], request, body), ({ result, bytes }): bigint => {
      if (result === 0 || !bytes) return 0n;
      const d = new Decoder(bytes);
      const headers = d.string();
      const content = d.rest();
      const at = this.kernel.write(content);
      if (at === undefined) {
        this.log.add(warn, bytesOf(`http_request: the response's ${content.length} bytes don't fit the plugin's memory (limits.memory)`));
        return 0n;
      }
      this.last = { status: result, headers };
      return BigInt(at);
    });
  }

  private fetchAll(requestAt: number): Soon<bigint> {
    const request = this.kernel.length(requestAt) > maxJSON ? new Uint8Array() : this.kernel.read(requestAt);
    return then(this.host.ask("fetch_all", [], request), ({ bytes = new Uint8Array() }): bigint => {
      const at = this.kernel.write(bytes);
      if (at !== undefined) return BigInt(at);
      const message = `the answer's ${bytes.length} bytes don't fit the plugin's memory (limits.memory)`;
      return this.block(bytesOf(JSON.stringify({ error: { code: "response_too_large", message } })));
    });
  }
}

/** An i64 that stands for an offset or a length, as an unsigned number. Past 2^53 it is inexact, and so far out that it doesn't matter. */
function offset(v: bigint): number {
  return Number(BigInt.asUintN(64, v));
}
