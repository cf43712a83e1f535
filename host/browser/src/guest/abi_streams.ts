/**
 * Streams, and the event descriptor. See host/internal/abi/streams.go and host/internal/wasi/poll.go.
 *
 *	read:         [handle, cap] -> bytes | -EBADF -EAGAIN -EIO
 *	read_request: [cap] -> bytes | -EAGAIN -EIO
 *	read_error:   [handle, cap] -> length of the error | -EFAULT -EBADF -EAGAIN
 *	write:        [handle, length] the first bytes -> bytes taken | -EBADF -EAGAIN -EPIPE -E2BIG
 *	finish:       [handle] -> 0 | -EBADF
 *	open_request: [] -> handle | -EALREADY -EMFILE
 *	begin:        head -> handle | -EINVAL -EALREADY -EMFILE -ECANCELED
 *	poll:         [whether events are wanted, timeout in ms, below 0: none] -> 1 if there are events | 0 | deadlock
 *	events:       [n] -> number of handles
 */
import { FetchError } from "../fetch/types.js";
import type { FetchFailure } from "../fetch/types.js";
import { sized } from "./abi.js";
import type { Asked } from "./abi.js";
import { words32, writeFailure } from "./abi_fetches.js";
import { responseHead } from "./abi_invocation.js";
import type { Answer, Call } from "./call.js";
import { E2BIG, EAGAIN, EALREADY, EBADF, ECANCELED, EFAULT, EINVAL, EIO, EMFILE, EPIPE } from "./errno.js";
import { again, eof } from "./queue.js";
import type { Ending } from "./queue.js";
import { deadlock } from "./protocol.js";
import { Decoder, Encoder } from "./wire.js";

export function read(c: Call, { args }: Asked): Answer {
  const got = c.read(args[0]!, args[1]!);
  return got === undefined ? { result: -EBADF } : moved(got);
}

export function readRequest(c: Call, { args }: Asked): Answer {
  return moved(c.readRequest(args[0]!));
}

/** The result of a read: bytes, the end, or an errno. */
function moved(got: Uint8Array | typeof again | Ending): Answer {
  if (got instanceof Uint8Array) return { result: got.length, bytes: got };
  if (got === again) return { result: -EAGAIN };
  return { result: got === eof ? 0 : -EIO };
}

export function readError(c: Call, { args }: Asked): Answer {
  const handle = c.handles.get(args[0]!);
  if (!handle || handle.members || handle.kind === "response") return { result: -EBADF };
  const failed = handle.down?.failure();
  if (!failed) return { result: -EAGAIN };
  return sized(args[1]!, writeFailure(new Encoder(), streamFailure(failed.error)).done(), EFAULT);
}

/** Why a stream failed, as a fetch's failure. The request's own body has no fetch, but may have failed for a limit of the invocation. */
function streamFailure(error: unknown): FetchFailure {
  if (error instanceof FetchError) return error.failure;
  const known = error as { code?: unknown; detail?: unknown } | undefined;
  const none = { url: "", attempts: 0, retryable: false };
  if (typeof known?.code === "string" && typeof known.detail === "string") return { code: known.code, message: known.detail, ...none };
  return { code: "read_error", message: "the client broke the request's body off", ...none };
}

export function write(c: Call, { args, bytes }: Asked): Answer {
  const put = c.write(args[0]!, args[1]!, bytes);
  if (typeof put === "number") return { result: put };
  return { result: -{ none: EBADF, over: E2BIG, closed: EPIPE, again: EAGAIN }[put] };
}

export function finish(c: Call, { args }: Asked): Answer {
  return { result: c.handles.finish(args[0]!) ? 0 : -EBADF };
}

export function openRequest(c: Call): Answer {
  const id = c.openRequest();
  return { result: id === undefined ? -EALREADY : id || -EMFILE };
}

export function begin(c: Call, { bytes }: Asked): Answer {
  if (!c.session) return { result: -ECANCELED };
  const d = new Decoder(bytes);
  const response = responseHead(d);
  if (!d.end() || !response) return { result: -EINVAL };
  if (c.response) return { result: -EALREADY };
  return { result: c.begin(response) || -EMFILE };
}

export async function poll(c: Call, { args }: Asked): Promise<Answer | undefined> {
  const [wanted, timeout] = args as [number, number];
  const look = () => {
    if (!wanted) return undefined;
    const { events, flying } = c.handles.pending();
    if (events) return 1;
    // Nothing in flight and no clock: nobody can ever wake this guest.
    return flying || timeout >= 0 ? undefined : deadlock;
  };
  if (!wanted && timeout < 0) return { result: deadlock };
  const result = await c.blocking(c.handles.wait(look, timeout));
  return c.stopped ? undefined : { result: result ?? 0 };
}

export function events(c: Call, { args }: Asked): Answer {
  const ids = c.handles.taken(args[0]!);
  return { result: ids.length, bytes: words32(ids) };
}
