/**
 * Fetches: started by send and group, waited for, read, cancelled, forgotten. See host/internal/abi/fetches.go.
 *
 *	send, group, open, open_group: [each body's length or -1] encoding, bodies -> handle | -EFAULT -EINVAL -EMFILE -E2BIG -ECANCELED
 *	wait:     [all, timeout in ms] handles -> number ready
 *	head:     [handle, cap] -> length of the head | -EFAULT -EBADF -EAGAIN
 *	body:     [handle, cap] -> bytes | -EFAULT -EINVAL -EBADF -EAGAIN
 *	outcomes: [handle, cap] -> bytes of whole records | -EBADF -EAGAIN -E2BIG
 *	quiet, cancel, drop: [handle] -> 0 | -EINVAL -EBADF
 */
import { fromFieldBytes, toFieldBytes } from "../fetch/text.js";
import type { FetchFailure, FetchRequest, FetchResponse, Field, Group, Outcome, Retry, State } from "../fetch/types.js";
import { sized } from "./abi.js";
import type { Asked } from "./abi.js";
import type { Answer, Call } from "./call.js";
import { E2BIG, EAGAIN, EBADF, ECANCELED, EFAULT, EINVAL, EMFILE } from "./errno.js";
import { received } from "./handles.js";
import { Queue } from "./queue.js";
import { Decoder, Encoder, unknownLength } from "./wire.js";
import { maxHandles, maxSmall, maxStatuses, streamSize } from "./limits.js";

/** Flags of an open fetch. */
const flagResponse = 1;
const flagRequest = 2;

const modes: Group["mode"][] = ["all", "all_settled", "any", "race", "quorum"];
const redirects: FetchRequest["redirect"][] = ["follow", "manual", "error"];
const states: State[] = ["pending", "running", "fulfilled", "rejected", "cancelled"];

/** Thrown where an encoding can't be read. */
class Refused extends Error {
  constructor(readonly errno: number) {
    super();
  }
}

/** One fetch as it was read: what the engine gets, and the stream that is its body. */
interface Read {
  request: FetchRequest;
  upload: Queue | undefined;
  held: number;
}

/** The bodies that came with a call, one fetch after the other. */
class Bodies {
  private i = 0;
  private at = 0;

  constructor(
    private readonly sizes: number[],
    private readonly bytes: Uint8Array,
    private readonly most: number,
  ) {}

  /**
   * The next fetch's body, and what it counts as held. One over the policy's limit wasn't copied: the engine refuses it by its length,
   * before it would read it. Nor was any where all together are more than may be held.
   */
  next(): { body: Uint8Array; held: number } {
    const n = this.sizes[this.i++]!;
    if (!(n >= 0)) throw new Refused(EFAULT);
    const held = n <= this.most ? n : 0;
    if (held === 0 || this.at + n > this.bytes.length) return { body: nothing(n), held };
    return { body: this.bytes.subarray(this.at, (this.at += n)), held };
  }
}

let zeros = new Uint8Array();

/** So many bytes that nobody reads; the system gives memory only to what is touched. */
function nothing(n: number): Uint8Array {
  if (zeros.length < n) zeros = new Uint8Array(n);
  return zeros.subarray(0, n);
}

/** Starts a fetch or a group, whose bodies may be streams if it is open. */
export function start(group: boolean, open: boolean) {
  return (c: Call, { args, bytes, more }: Asked): Answer => {
    if (!c.session) return { result: -ECANCELED };
    try {
      const bodies = new Bodies(args, more, c.limits.requestBytes);
      const id = group ? startGroup(c, readGroup(bytes, bodies, open)) : startOne(c, readFetch(bytes, bodies, open));
      return { result: id || -EMFILE };
    } catch (e) {
      if (e instanceof Refused) return { result: -e.errno };
      throw e;
    }
  };
}

function startOne(c: Call, { request, upload, held }: Read): number {
  if (!c.handles.fits(held, c.limits.held)) throw new Refused(E2BIG);
  return c.handles.send(c.session!, request, upload, held);
}

function startGroup(c: Call, { group, all }: { group: Group; all: Read[] }): number {
  const held = all.reduce((n, one) => n + one.held, 0);
  if (!c.handles.fits(held, c.limits.held)) throw new Refused(E2BIG);
  return c.handles.group(c.session!, group, all.map((one) => one.upload), held);
}

function readFetch(bytes: Uint8Array, bodies: Bodies, open: boolean): Read {
  const d = new Decoder(bytes);
  const flags = open ? d.number(flagResponse | flagRequest) : 0;
  const request: FetchRequest = {
    method: d.string(), url: d.string(), headers: eachValue(d.fields(), fromFieldBytes),
    timeoutMs: d.duration(), attemptTimeoutMs: d.duration(), hedgeMs: d.duration(),
    redirect: redirects[d.number(2)]!, expect: d.string(), stream: (flags & flagResponse) !== 0,
  };
  if (d.bool()) request.retry = readRetry(d);
  const ptr = d.number(2 ** 32 - 1);
  const size = d.number(2 ** 32 - 1);
  if (!d.end()) throw new Refused(EINVAL);
  if (flags & flagRequest) {
    if (ptr !== 0) throw new Refused(EINVAL);
    const upload = new Queue();
    request.bodyStream = upload.stream();
    request.bodyLength = size;
    return { request, upload, held: streamSize };
  }
  const { body, held } = bodies.next();
  if (body.length > 0) request.body = body;
  return { request, upload: undefined, held };
}

function readRetry(d: Decoder): Retry {
  const retry: Retry = { attempts: d.number(1 << 20), backoffMs: d.duration(), maxBackoffMs: d.duration() };
  const n = d.number(maxStatuses);
  // A guest that names none means the policy's own; see host/internal/abi/fetches.go.
  for (let i = 0; i < n && !d.bad; i++) (retry.statuses ??= []).push(d.number(999));
  return retry;
}

function readGroup(bytes: Uint8Array, bodies: Bodies, open: boolean): { group: Group; all: Read[] } {
  const d = new Decoder(bytes);
  const group: Group = { mode: modes[d.number(4)]!, count: d.number(maxHandles), concurrency: d.number(maxHandles), timeoutMs: d.duration(), requests: [] };
  const n = d.number(maxHandles - 1);
  if (d.bad || n === 0 || (group.mode === "quorum" && (group.count === 0 || group.count > n))) throw new Refused(EINVAL);
  const all: Read[] = [];
  for (let i = 0; i < n; i++) {
    const one = d.view();
    if (d.bad) throw new Refused(EINVAL);
    all.push(readFetch(one, bodies, open));
  }
  if (!d.end()) throw new Refused(EINVAL);
  group.requests = all.map((one) => one.request);
  return { group, all };
}

export async function wait(c: Call, { args, bytes }: Asked): Promise<Answer | undefined> {
  const [all, timeout] = args as [number, number];
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ids = Array.from({ length: bytes.length / 4 }, (_, i) => words.getUint32(i * 4, true));
  const enough = () => {
    const ready = c.handles.ready(ids);
    return ready.length === ids.length || (ready.length > 0 && !all) ? ready : undefined;
  };
  await c.blocking(c.handles.wait(enough, timeout));
  if (c.stopped) return undefined;
  const ready = c.handles.ready(ids);
  return { result: ready.length, bytes: words32(ready) };
}

/** Little-endian u32. */
export function words32(values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((v, i) => view.setUint32(i * 4, v, true));
  return bytes;
}

export function head(c: Call, { args }: Asked): Answer {
  const handle = c.handles.fetch(args[0]!);
  if (!handle) return { result: -EBADF };
  if (!handle.settled) return { result: -EAGAIN };
  handle.head ??= writeOutcome(new Encoder(), handle.outcome!).done();
  return sized(args[1]!, handle.head, EFAULT);
}

export function body(c: Call, { args }: Asked): Answer {
  const handle = c.handles.fetch(args[0]!);
  if (!handle) return { result: -EBADF };
  if (!handle.settled) return { result: -EAGAIN };
  if (args[1]! < 0) return { result: -EFAULT };
  if (handle.down) return { result: -EINVAL };
  const part = handle.take(args[1]!);
  return { result: part.length, bytes: part };
}

export function outcomes(c: Call, { args }: Asked): Answer {
  const out = new Encoder();
  let full = false;
  const known = c.handles.outcomes(args[0]!, (index, outcome) => {
    const got = received(outcome);
    const small = got && got.body.length <= maxSmall ? got.body : new Uint8Array();
    const record = new Encoder().varint(index).string(writeOutcome(new Encoder(), outcome).done()).string(small).done();
    full = out.done().length + record.length > args[1]!;
    if (!full) out.raw(record);
    return !full;
  });
  if (known === "unknown") return { result: -EBADF };
  if (known === "unsettled") return { result: -EAGAIN };
  const bytes = out.done();
  return bytes.length === 0 && full ? { result: -E2BIG } : { result: bytes.length, bytes };
}

function writeOutcome(e: Encoder, outcome: Outcome): Encoder {
  e.varint(states.indexOf(outcome.state));
  if (outcome.state === "fulfilled") return writeResponse(e, outcome.response);
  writeFailure(e, outcome.error).bool(outcome.error.response !== undefined);
  return outcome.error.response ? writeResponse(e, outcome.error.response) : e;
}

export function writeFailure(e: Encoder, f: FetchFailure): Encoder {
  return e.string(f.code).string(f.message).string(f.url).varint(f.attempts).bool(f.retryable);
}

function writeResponse(e: Encoder, r: FetchResponse): Encoder {
  e.varint(r.status).string(r.url).bool(r.redirected).varint(r.attempts).duration(r.elapsedMs).fields(eachValue(r.headers, toFieldBytes));
  return e.varint(r.stream ? unknownLength : r.body.length);
}

/** Fields are text to the engine, and bytes to the guest. */
function eachValue(fields: Field[], to: (value: string) => string): Field[] {
  return fields.map(([name, value]) => [name, to(value)]);
}

export function quiet(c: Call, { args }: Asked): Answer {
  return { result: c.handles.quiet(args[0]!) ? 0 : -EBADF };
}

export function cancel(c: Call, { args }: Asked): Answer {
  if (c.handles.get(args[0]!)?.kind === "response") return { result: -EINVAL };
  return { result: c.handles.cancel(args[0]!) ? 0 : -EBADF };
}

export function drop(c: Call, { args }: Asked): Answer {
  if (c.handles.get(args[0]!)?.kind === "response") return { result: -EINVAL };
  return { result: c.handles.drop(args[0]!) ? 0 : -EBADF };
}
