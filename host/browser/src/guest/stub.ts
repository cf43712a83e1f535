/**
 * The functions of host/ABI.md as a guest imports them. They copy what the guest points to, ask the page, and write the answer to where
 * the guest wants it; what the page isn't needed for is answered here. Each range is checked where host/internal/abi checks it; where a
 * fault isn't the first thing to be told, it goes to the page as -1.
 */
import type { Answer } from "./call.js";
import { E2BIG, EALREADY, EFAULT, EINVAL, ENOENT } from "./errno.js";
import { asking, local, then, view } from "./host.js";
import type { Host, Imports, Soon } from "./host.js";
import type { Printer } from "./log.js";
import { bodiesOf, bodyOf } from "./locate.js";
import type { Config, Plan } from "./protocol.js";
import { bytesOf, Encoder, textOf } from "./wire.js";
import { maxFailure, maxGroup, maxHandles, maxHead, maxLog, streamSize } from "./limits.js";

/** What the functions know of the invocation that runs. */
export interface Running {
  head: Uint8Array | undefined; // of the request, but for the time left; none while the guest is initialised
  whole: Uint8Array | undefined; // of the request, once the guest has asked for it
  until: number | undefined; // ms on performance.now(), of the limit that runs
  streamsRequest: boolean;
}

export function abiImports(host: Host, plan: Plan, running: Running, log: Printer): Imports {
  const { limits } = plan;
  /** Gives the guest what the page answered. */
  const put = (ptr: number, cap: number) => (a: Answer): number => {
    if (a.bytes && a.bytes.length <= cap) view(host, ptr >>> 0, a.bytes.length)?.set(a.bytes);
    return a.result;
  };
  const result = (a: Answer) => a.result;
  const room = (ptr: number, cap: number) => (view(host, ptr >>> 0, cap >>> 0) ? cap >>> 0 : -1);

  const sized = (ptr: number, cap: number, data: Uint8Array): number => {
    const to = view(host, ptr >>> 0, cap >>> 0);
    if (!to) return -EFAULT;
    if (data.length <= to.length) to.set(data);
    return data.length;
  };
  /** Starts what is encoded: its bodies, wherever they lie, go along. */
  const start = (op: string, group: boolean, open: boolean) =>
    asking((ptr: number, len: number): Soon<number> => {
      const encoding = view(host, ptr >>> 0, len >>> 0);
      if (!encoding) return -EFAULT;
      if (encoding.length > (group ? maxGroup : maxHead)) return -E2BIG;
      const { sizes, bytes } = bodiesOf(host, encoding, group, open, limits);
      return then(host.ask(op, sizes, encoding.slice(), bytes), result);
    });
  /** A function of a handle alone. */
  const ofHandle = (op: string) => asking((id: number): Soon<number> => then(host.ask(op, [id >>> 0]), result));
  /** One that answers bytes; early says that a fault is the first thing to be told. */
  const reading = (op: string, early: boolean) =>
    asking((id: number, ptr: number, cap: number): Soon<number> => {
      const n = room(ptr, cap);
      if (n < 0 && early) return -EFAULT;
      return then(host.ask(op, [id >>> 0, n]), put(ptr, n));
    });

  return {
    request: local((ptr: number, cap: number) => {
      running.whole ??= new Encoder().raw(running.head ?? emptyHead()).duration(timeLeft(running)).done();
      return sized(ptr, cap, running.whole);
    }),
    read_request: asking((ptr: number, cap: number): Soon<number> => {
      const n = room(ptr, cap);
      return n < 0 ? -EFAULT : then(host.ask("read_request", [n]), put(ptr, n));
    }),
    respond: asking((ptr: number, len: number): Soon<number> => {
      const head = view(host, ptr >>> 0, len >>> 0);
      if (!head) return -EFAULT;
      if (head.length > maxHead) return -E2BIG;
      const { size, bytes } = bodyOf(host, head, limits.output);
      return then(host.ask("respond", [size], head.slice(), bytes), result);
    }),
    fail: local((ptr: number, len: number) => {
      const message = view(host, ptr >>> 0, len >>> 0);
      if (!message) return -EFAULT;
      host.fail(textOf(message.subarray(0, maxFailure)));
      return 0;
    }),
    log: local((level: number, ptr: number, len: number) => {
      const line = view(host, ptr >>> 0, len >>> 0);
      if (!line) return -EFAULT;
      if (line.length > maxLog) return -E2BIG;
      log.add(level, line);
      return 0;
    }),
    config: local((key: number, keyLen: number, ptr: number, cap: number) => {
      const name = view(host, key >>> 0, keyLen >>> 0);
      if (!name) return -EFAULT;
      const value = configOf(plan.config, name);
      return value === undefined ? -ENOENT : sized(ptr, cap, bytesOf(value));
    }),

    send: start("send", false, false),
    group: start("group", true, false),
    open: start("open", false, true),
    open_group: start("open_group", true, true),
    wait: asking((handles: number, n: number, all: number, timeout: bigint, ready: number): Soon<number> => {
      n >>>= 0;
      if (n > maxHandles || all >>> 0 > 1) return -EINVAL;
      const ids = view(host, handles >>> 0, n * 4);
      if (!ids || !view(host, ready >>> 0, n * 4)) return -EFAULT;
      const ms = timeout < 0n ? -1 : Number(timeout) / 1e6;
      return then(host.ask("wait", [all, ms], ids.slice()), put(ready, n * 4));
    }),
    head: reading("head", false),
    body: reading("body", false),
    outcomes: reading("outcomes", true),
    quiet: ofHandle("quiet"),
    cancel: ofHandle("cancel"),
    drop: ofHandle("drop"),

    read: reading("read", true),
    read_error: reading("read_error", false),
    write: asking((id: number, ptr: number, len: number): Soon<number> => {
      const from = view(host, ptr >>> 0, len >>> 0);
      return from ? then(host.ask("write", [id >>> 0, from.length], from.slice(0, streamSize)), result) : -EFAULT;
    }),
    finish: ofHandle("finish"),
    stream_request: local(() => {
      if (running.head) return -EALREADY;
      running.streamsRequest = true;
      return 0;
    }),
    open_request: asking((): Soon<number> => then(host.ask("open_request", []), result)),
    begin: asking((ptr: number, len: number): Soon<number> => {
      const head = view(host, ptr >>> 0, len >>> 0);
      if (!head) return -EFAULT;
      if (head.length > maxHead) return -E2BIG;
      return then(host.ask("begin", [], head.slice()), (a) => {
        if (a.result > 0) running.until = performance.now() + limits.stream;
        return a.result;
      });
    }),
    time_left: local(() => (running.until === undefined ? -1n : BigInt(Math.round(timeLeft(running) * 1e6)))),
  };
}

const timeLeft = (running: Running): number => Math.max((running.until ?? 0) - performance.now(), 0);

/** What a guest reads that asks for its request while it is initialised. */
const emptyHead = () => requestHead({ method: "", path: "", query: "", host: "", headers: [], length: 0 });

/** A request's head but for the time left: method, path, query, host, client address, fields, body length. */
export function requestHead(r: { method: string; path: string; query: string; host: string; headers: [string, string][]; length: number }): Uint8Array {
  return new Encoder().string(r.method).string(r.path).string(r.query).string(r.host).string("").fields(r.headers).varint(r.length).done();
}

function configOf(config: Config, key: Uint8Array): string | undefined {
  if (key.length === 0) return config.all;
  const name = textOf(key);
  return Object.hasOwn(config.values, name) ? config.values[name] : undefined;
}
