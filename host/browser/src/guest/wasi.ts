/**
 * The part of WASI preview 1 that a guest gets: real clocks, cryptographic randomness, a cancellable poll, output into the invocation's
 * log, and exit. There are no files: whatever asks for one gets an errno. host/ABI.md, "WASI", is the promise; host/internal/wasi the
 * server's. Signatures and numbers are those of WASI's snapshot_preview1 documentation (legacy/preview1/docs.md).
 */
import { asking, Exit, local, then, view } from "./host.js";
import type { Host, Imports, Soon } from "./host.js";
import type { Printer } from "./log.js";
import { now, pollOneoff } from "./wasi_poll.js";
import { eAgain, eBadf, eFault, eInval, eNosys, eSpipe, eventsFD, success } from "./wasi_errno.js";
import { signatures, wasiModule } from "./signatures.js";
import { maxVectors } from "./limits.js";

export function wasiImports(host: Host, log: Printer): Imports {
  const put32 = (ptr: number, v: number): number => {
    const to = view(host, ptr >>> 0, 4);
    if (!to) return eFault;
    new DataView(to.buffer, to.byteOffset).setUint32(0, v, true);
    return success;
  };
  const put64 = (ptr: number, v: bigint): number => {
    const to = view(host, ptr >>> 0, 8);
    if (!to) return eFault;
    new DataView(to.buffer, to.byteOffset).setBigUint64(0, v, true);
    return success;
  };
  /** The buffers of an array of n (address, length) pairs; an errno if they aren't all in the guest's memory. */
  const vectors = (ptr: number, n: number): Uint8Array[] | number => {
    n >>>= 0;
    if (n > maxVectors) return eInval;
    const array = view(host, ptr >>> 0, n * 8);
    if (!array) return eFault;
    const words = new DataView(array.buffer, array.byteOffset);
    const out: Uint8Array[] = [];
    for (let i = 0; i < n; i++) {
      const buffer = view(host, words.getUint32(i * 8, true), words.getUint32(i * 8 + 4, true));
      if (!buffer) return eFault;
      out.push(buffer);
    }
    return out;
  };
  /** Answers v for the four descriptors there are. */
  const onStdio = (v: number) => local((fd: number) => (fd >>> 0 > eventsFD ? eBadf : v));
  const sizesZero = local((count: number, size: number) => (view(host, count >>> 0, 4) && view(host, size >>> 0, 4) ? (put32(count, 0), put32(size, 0)) : eFault));
  /** The status of a descriptor: n bytes, of which one tells its type. */
  const stat = (n: number, typeAt: number, flagsAt: number) =>
    local((fd: number, ptr: number) => {
      fd >>>= 0;
      if (fd > eventsFD) return eBadf;
      const to = view(host, ptr >>> 0, n);
      if (!to) return eFault;
      to.fill(0);
      to[typeAt] = fd === eventsFD ? 6 : 2; // a stream socket, a character device
      if (fd === eventsFD && flagsAt > 0) to[flagsAt] = 4; // non-blocking
      return success;
    });

  const imports: Imports = {
    args_get: local(() => success),
    args_sizes_get: sizesZero,
    environ_get: local(() => success),
    environ_sizes_get: sizesZero,
    clock_res_get: local((id: number, ptr: number) => (now(id >>> 0) === undefined ? eInval : put64(ptr, 1n))),
    clock_time_get: local((id: number, _precision: bigint, ptr: number) => {
      const t = now(id >>> 0);
      return t === undefined ? eInval : put64(ptr, t);
    }),
    random_get: local((ptr: number, n: number) => {
      const to = view(host, ptr >>> 0, n >>> 0);
      if (!to) return eFault;
      for (let at = 0; at < to.length; at += 65536) crypto.getRandomValues(to.subarray(at, at + 65536) as Uint8Array<ArrayBuffer>); // its own limit
      return success;
    }),
    poll_oneoff: asking((subscriptions: number, events: number, n: number, count: number) => pollOneoff(host, subscriptions >>> 0, events >>> 0, n >>> 0, count >>> 0)),
    proc_exit: local((status: number) => {
      throw new Exit(status >>> 0);
    }),
    sched_yield: local(() => success),

    fd_write: local((fd: number, ptr: number, n: number, written: number) => {
      if (fd !== 1 && fd !== 2) return eBadf;
      const buffers = vectors(ptr, n);
      if (typeof buffers === "number") return buffers;
      for (const b of buffers) log.write(fd, b);
      return put32(written, buffers.reduce((sum, b) => sum + b.length, 0));
    }),
    fd_read: asking((fd: number, ptr: number, n: number, read: number): Soon<number> => {
      if (fd === 0) return put32(read, 0);
      if (fd !== eventsFD) return eBadf;
      const buffers = vectors(ptr, n);
      if (typeof buffers === "number") return buffers;
      const room = buffers.reduce((sum, b) => sum + Math.floor(b.length / 4), 0);
      return then(host.ask("events", [Math.min(room, 1024)]), ({ result, bytes = new Uint8Array() }) => {
        if (result === 0) return eAgain;
        for (let i = 0, at = 0; at < bytes.length; i++) {
          const b = buffers[i]!;
          const part = bytes.subarray(at, at + Math.floor(b.length / 4) * 4);
          b.set(part);
          at += part.length;
        }
        return put32(read, bytes.length);
      });
    }),
    fd_close: onStdio(success),
    fd_fdstat_get: stat(24, 0, 2),
    fd_fdstat_set_flags: onStdio(success),
    fd_filestat_get: stat(64, 16, 0),
    fd_seek: onStdio(eSpipe),
    fd_tell: onStdio(eSpipe),
    fd_sync: onStdio(success),
    fd_datasync: onStdio(success),
  };
  for (const name of signatures.get(wasiModule)!.keys()) {
    imports[name] ??= local(() => (/^(sock_|proc_)/.test(name) ? eNosys : eBadf));
  }
  return imports;
}
