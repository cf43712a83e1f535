/**
 * What the page answers to a guest: the functions of host/ABI.md over the fetch engine. It works on byte arrays: the stub beside the
 * guest (stub.ts) has copied what the guest pointed to, and writes what is answered to where the guest wants it. So one logic serves
 * every link between the two. A range that isn't in the guest's memory arrives as -1, since when that is told is part of the ABI.
 */
import type { Answer, Call } from "./call.js";
import { allFetches } from "./fetch_all.js";
import { httpRequest } from "./extism_http.js";
import { cancel, drop, head, body, outcomes, quiet, start, wait } from "./abi_fetches.js";
import { begin, events, finish, openRequest, poll, read, readError, readRequest, write } from "./abi_streams.js";
import { respond } from "./abi_invocation.js";

/** A call of a guest: numbers, and up to two byte arrays that are the page's own. */
export interface Asked {
  op: string;
  args: number[];
  bytes: Uint8Array;
  more: Uint8Array; // bodies, beside what tells of them
}

type Function = (c: Call, asked: Asked) => Answer | Promise<Answer | undefined>;

const functions: Record<string, Function> = {
  respond,
  send: start(false, false), group: start(true, false), open: start(false, true), open_group: start(true, true),
  wait, head, body, quiet, outcomes, cancel, drop,
  read, read_error: readError, read_request: readRequest, write, finish, open_request: openRequest, begin,
  poll, events,
  fetch_all: allFetches, http_request: httpRequest,
};

/** Answers a guest; undefined if the invocation has ended, and the guest is to. */
export function ask(c: Call, asked: Asked): Answer | undefined | Promise<Answer | undefined> {
  if (c.stopped) return undefined;
  return functions[asked.op]!(c, asked);
}

/** Answers a sized read: data if it fits, its length either way. */
export function sized(cap: number, data: Uint8Array, fault: number): Answer {
  if (cap < 0) return { result: -fault };
  return { result: data.length, bytes: data.length <= cap ? data : undefined };
}
