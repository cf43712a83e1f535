import type { Field } from "../fetch/types.js";
import type { Asked } from "./abi.js";
import type { Answer, Call, GuestResponse } from "./call.js";
import { E2BIG, EALREADY, EFAULT, EINVAL } from "./errno.js";
import { Decoder } from "./wire.js";

const ok: Answer = { result: 0 };

/** respond: [the body's length or -1] head, and the body if it isn't over its limit -> 0 | -EFAULT -EINVAL -EALREADY -E2BIG */
export function respond(c: Call, { args, bytes, more }: Asked): Answer {
  const d = new Decoder(bytes);
  const response = responseHead(d);
  d.number(2 ** 32 - 1);
  d.number(2 ** 32 - 1);
  if (!d.end() || !response) return { result: -EINVAL };
  const size = args[0]!;
  if (size < 0) return { result: -EFAULT };
  if (c.response) return { result: -EALREADY };
  response.body = more;
  return c.answer(response, size) ? ok : { result: -E2BIG };
}

/** Reads a response's status and fields; undefined if they can't be a response's. */
export function responseHead(d: Decoder): GuestResponse | undefined {
  const status = d.number(599) || 200;
  const headers = d.fields();
  if (d.bad || status < 200 || !headers.every(isField)) return undefined;
  return { status, headers, body: new Uint8Array() };
}

/** A valid field line (RFC 9110, section 5.5): a token, and no control characters but the tab. */
function isField([name, value]: Field): boolean {
  return /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name) && !/[\0-\x08\x0a-\x1f\x7f]/.test(value);
}
