import type { Header } from "./header.js";
import { maxRecordURL } from "./params.js";
import { bounded } from "./text.js";
import type { Field, FetchRecord } from "./types.js";

const redacted = "[redacted]";
const maxSearch = 1 << 24; // characters looked at, for all credentials of a fetch together
const minCredential = 8; // characters from which on a text is taken for a credential wherever it stands

/** Whether a field's value is a credential by its name; the name is in lower case. secretFields are those that carry an operator's secret. */
export function hides(name: string, secretFields: string[] = []): boolean {
  return /^((proxy-)?authorization|cookie|set-cookie2?|x-api-key|api-?key|x-(auth|access)-token|x-amz-security-token|x-goog-api-key)$/.test(name)
    || secretFields.includes(name);
}

/** A header as records show it: sorted, credentials replaced. */
export function shownFields(fields: Field[], secretFields: string[]): Field[] {
  return fields
    .map(([name, value]): Field => [name, hides(name, secretFields) ? redacted : value])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A URL as records show it. One that was refused for its userinfo has credentials in it. */
export function shownURL(url: string): string {
  const [, head, rest] = /^([^:/\\?#@]*:[/\\]*|[/\\]*)(.*)$/s.exec(url)!;
  const authority = /^[^/\\?#]*/.exec(rest!)![0], at = authority.lastIndexOf("@");
  return bounded(at < 0 ? url : head + redacted + rest!.slice(at), maxRecordURL);
}

/** The parts of what a request's fields carry that records hide, in all their spellings. */
export function credentials(header: Header): string[] {
  const parts: string[] = [];
  for (const [name, values] of header) {
    if (!hides(name)) continue;
    for (const part of values.flatMap((value) => value.split(/[ ;]/))) parts.push(part, part.slice(part.indexOf("=") + 1)); // a cookie's
  }
  return parts.filter((part) => part.length >= minCredential).flatMap(spellings);
}

/** A text without the credentials. */
export function without(text: string, all: string[]): string {
  return all.reduce((left, one) => left.replaceAll(one, redacted), text);
}

/** Takes out of a record what an upstream has sent back of the request's credentials. Where looking for all would take long, nothing it sent is shown. */
export function hide(record: FetchRecord, all: string[]): void {
  if (all.length === 0) return;
  const answered = record.exchanges.flatMap((exchange) => exchange.response_headers ?? []).reduce((n, [, value]) => n + value.length, 0);
  const shown = all.length * answered > maxSearch ? () => redacted : (value: string) => without(value, all);
  record.url = without(record.url, all);
  if (record.message) record.message = without(record.message, all);
  for (const exchange of record.exchanges) {
    exchange.url = without(exchange.url, all);
    exchange.response_headers = exchange.response_headers?.map(([name, value]) => [name, shown(value)]);
  }
}

/** The ways in which a text stands in URLs and in JSON, itself among them. */
function spellings(text: string): string[] {
  if (/^[\w.~-]*$/.test(text)) return [text]; // all are the same: most tokens are of that kind
  const whole = text.replace(/\p{Cs}/gu, "\ufffd"), encoded = encodeURIComponent(whole);
  const forms = [text, encoded, encoded.replaceAll("%20", "+"), encodeURI(whole)];
  const all = forms.flatMap((form) => [form, form.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase())]);
  return [...new Set(all.flatMap((form) => [form, JSON.stringify(form).slice(1, -1)]))];
}
