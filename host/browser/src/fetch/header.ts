import { byteLength, isFieldValue, isToken, trimmed } from "../manifest/text.js";
import { fail, type Fail } from "../policy/failure.js";
import { maxMethod, maxRequestFields, maxRequestHead, maxResponseFields, maxResponseHead } from "./params.js";
import { fromFieldBytes, quote } from "./text.js";
import type { Field } from "./types.js";

/** A header by name, in lower case. */
export type Header = Map<string, string[]>;

/** Normalises a method (Fetch standard, section 2.2.1). CONNECT makes tunnels, TRACE and TRACK have the server send the header back. */
export function checkMethod(method: string): string | Fail {
  if (method === "") return "GET";
  const bytes = byteLength(method), upper = method.toUpperCase();
  if (bytes > maxMethod) return fail("invalid_request", `the method has ${bytes} bytes; ${maxMethod} can be sent`);
  if (!isToken(method)) return fail("invalid_request", `the method ${quote(method)} is not a token`);
  if (/^(CONNECT|TRACE|TRACK)$/.test(upper)) return fail("invalid_request", `the method ${upper} can't be used`);
  return /^(GET|HEAD|POST|PUT|DELETE|OPTIONS)$/.test(upper) ? upper : method;
}

/** Checks a guest's fields, drops those that the host owns, and sets what a request should have and the guest didn't give. */
export function requestHeader(fields: Field[], defaults: Field[]): Header | Fail {
  if (fields.length > maxRequestFields) return fail("invalid_request", `the header has ${fields.length} fields; ${maxRequestFields} can be sent`);
  const header: Header = new Map();
  let size = 0;
  for (const [name, raw] of fields) {
    if (!isToken(name)) return fail("invalid_request", `the header name ${quote(name)} is not a token`);
    const value = trimmed(raw), lower = name.toLowerCase();
    if (!isFieldValue(value)) return fail("invalid_request", `the header ${quote(name)} has a control character in its value`);
    size += name.length + byteLength(value) + 4;
    if (!hostOwned(lower)) header.set(lower, [...(header.get(lower) ?? []), value]);
  }
  if (size > maxRequestHead) return fail("invalid_request", `the header has ${size} bytes; ${maxRequestHead} can be sent`);
  for (const [name, value] of defaults) if (!header.has(name)) header.set(name, [value]);
  return header;
}

/** Whether a field is the host's alone: what frames and routes a message, and what is Sortie's own. */
function hostOwned(name: string): boolean {
  return /^(host|content-length|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|http2-settings|proxy-.*|sortie-.*)$/.test(name);
}

/**
 * The name of a field that a page may not set (Fetch standard, "forbidden request-header"), beside those that the host owns anyway;
 * undefined: there is none.
 */
export function forbiddenField(header: Header): string | undefined {
  for (const [name, values] of header) {
    if (/^(accept-charset|accept-encoding|access-control-request-(headers|method|private-network)|cookie2?|date|dnt|origin|referer|set-cookie|via|sec-.*)$/.test(name)) return name;
    const methods = /^x-(http-method|http-method-override|method-override)$/.test(name) ? values.join(",").split(",") : [];
    if (methods.some((method) => /^(CONNECT|TRACE|TRACK)$/i.test(method.trim()))) return name;
  }
  return undefined;
}

/** A response's fields: names in lower case, sorted, each of Set-Cookie's by itself, the others' joined, since fetch() gives them so. */
export function responseFields(headers: Headers): Field[] | Fail {
  const fields: Field[] = [];
  let size = 0;
  for (const [name, raw] of headers) {
    const value = fromFieldBytes(raw);
    if (!isFieldValue(value)) return fail("protocol_error", `the response's header ${quote(name)} has a control character in its value`);
    size += name.length + value.length + 4;
    fields.push([name.toLowerCase(), value]);
  }
  if (fields.length > maxResponseFields) return fail("protocol_error", `the response's header has ${fields.length} fields; ${maxResponseFields} are accepted`);
  if (size > maxResponseHead) return fail("protocol_error", `the response's header has ${size} bytes; ${maxResponseHead} are accepted`);
  return fields;
}

/** The fields that a guest gets. decoded leaves out what described the encoded body; what only concerns the connection isn't there either. */
export function guestFields(fields: Field[], decoded: boolean): Field[] {
  return fields.filter(([name]) =>
    !/^(connection|keep-alive|proxy-authenticate|proxy-connection|te|trailer|transfer-encoding|upgrade)$/.test(name) &&
    !(decoded && /^content-(encoding|length)$/.test(name)));
}
