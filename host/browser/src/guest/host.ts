/** What the functions beside a guest work with: its memory, and the page. */
import type { Answer } from "./call.js";

/** Ends a guest where it stands: by its own wish (proc_exit), or because the host can't go on with it. */
export class Exit {
  constructor(readonly status: number) {}
}

/** Ends a guest whose invocation has ended. */
export class Stop {}

/** An answer that is here, or will be. A link that blocks gives the first, one that suspends the second. */
export type Soon<T> = T | Promise<T>;

/** What comes next, without a turn of the event loop where nothing has to be waited for. */
export function then<T, R>(soon: Soon<T>, next: (v: T) => Soon<R>): Soon<R> {
  return soon instanceof Promise ? soon.then(next) : next(soon);
}

export interface Host {
  /** The guest's memory; undefined while there is none. */
  memory(): ArrayBuffer | undefined;
  /** Asks the page. The bytes must not be the guest's own, which goes on writing to them. Throws a Stop if the guest is to end. */
  ask(op: string, args: number[], bytes?: Uint8Array, more?: Uint8Array): Soon<Answer>;
  /** Notes why the guest fails. It counts if the guest then does. */
  fail(why: string): void;
}

/** The guest's bytes at a place, its own; undefined if they aren't all inside its memory. Numbers are unsigned. */
export function view(host: Host, ptr: number, n: number): Uint8Array | undefined {
  const memory = host.memory();
  if (!memory || ptr + n > memory.byteLength) return undefined;
  return new Uint8Array(memory, ptr, n);
}

/** A function for a guest to import. Parameters are as JavaScript gets them: i32 signed, i64 as bigint. */
export interface Import {
  /** Whether it asks the page. */
  asks: boolean;
  do: (...args: never[]) => unknown;
}

export const local = (fn: Import["do"]): Import => ({ asks: false, do: fn });
export const asking = (fn: Import["do"]): Import => ({ asks: true, do: fn });
export type Imports = Record<string, Import>;
