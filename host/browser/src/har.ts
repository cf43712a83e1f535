/**
 * A report as an HTTP Archive, HAR 1.2, which browsers' network panels and many tools read; the same as the server's (host/fetch/har). Each
 * request that was sent, or was about to be, is an entry: an attempt, a hop. A fetch that sent nothing is an entry with status 0. Fields
 * that begin with an underscore are Sortie's own. There are no bodies, and credentials are redacted.
 */
import { hides } from "./fetch/redact.js";
import type { Exchange, FetchRecord, Field } from "./fetch/types.js";

/** What an archive is made of: any report, the server's too. */
export interface HARSource {
  id: string;
  started: string; // RFC 3339
  queue_ms?: number; // a record's times count from when the guest's turn came
  total_ms: number;
  fetches: FetchRecord[];
}

interface Pair {
  name: string;
  value: string;
}

/** The archive, for JSON.stringify. Entries are in the order in which they began. version is Sortie's. */
export function toHAR(report: HARSource, version = ""): object {
  const queue = report.queue_ms ?? 0, began = Date.parse(report.started) + queue;
  const entries = report.fetches.flatMap((record, i) =>
    record.exchanges.length === 0
      ? [{ at: record.start_ms, entry: unsent(began, i + 1, record) }]
      : record.exchanges.map((x, j) => ({ at: x.start_ms, entry: sent(began, i + 1, record, x, j === record.exchanges.length - 1) })));
  entries.sort((a, b) => a.at - b.at);
  return {
    log: {
      version: "1.2",
      creator: { name: "Sortie", version },
      pages: [{
        startedDateTime: stamp(began), id: "invocation", title: report.id,
        pageTimings: { onContentLoad: -1, onLoad: Math.max(report.total_ms - queue, 0) },
      }],
      entries: entries.map(({ entry }) => entry),
    },
  };
}

/** The entry of an exchange. What became of the whole fetch stands with its last one. */
function sent(began: number, n: number, r: FetchRecord, x: Exchange, last: boolean): object {
  const requestHeaders = pairs(x.request_headers), responseHeaders = pairs(x.response_headers), protocol = x.protocol ?? "";
  const value = (name: string) => responseHeaders.find((pair) => pair.name === name)?.value ?? "";
  return {
    pageref: "invocation", startedDateTime: stamp(began + Math.max(x.start_ms, 0)), ...timed(x),
    request: request(x.method, x.url, protocol, requestHeaders, x.sent),
    response: {
      status: Math.max(x.status ?? 0, 0), statusText: "", httpVersion: protocol, cookies: [], headers: responseHeaders,
      content: { size: Math.max(x.decoded, 0), mimeType: value("content-type") }, redirectURL: value("location"),
      headersSize: -1, bodySize: -1, _bytes: Math.max(x.received, 0),
    },
    cache: {},
    _fetch: n, _attempt: x.attempt, _hop: x.hop, _hedge: x.hedge ?? false, _reused: x.reused, _state: r.state,
    ...own({ _rule: x.rule, _code: x.code || (last ? r.code : ""), _message: last ? r.message : "" }),
  };
}

/** The entry of a fetch that sent nothing. */
function unsent(began: number, n: number, r: FetchRecord): object {
  return {
    pageref: "invocation", startedDateTime: stamp(began + Math.max(r.start_ms, 0)), ...timed({ blocked_ms: Math.max(r.elapsed_ms, 0) }),
    request: request(r.method, r.url, "", [], 0),
    response: {
      status: Math.max(r.status ?? 0, 0), statusText: "", httpVersion: "", cookies: [], headers: [],
      content: { size: Math.max(r.bytes, 0), mimeType: "" }, redirectURL: "", headersSize: -1, bodySize: -1, _bytes: 0,
    },
    cache: {},
    _fetch: n, _attempt: 0, _hop: 0, _hedge: false, _reused: false, _state: r.state,
    ...own({ _rule: r.rule, _code: r.code, _message: r.message }),
  };
}

function request(method: string, url: string, httpVersion: string, headers: Pair[], bytes: number): object {
  return { method, url, httpVersion, cookies: [], headers, queryString: query(url), headersSize: -1, bodySize: -1, _bytes: Math.max(bytes, 0) };
}

/** The timings and their sum, in ms; -1 is what didn't take place. connect has ssl in it, and what must not be -1 is 0. */
function timed(x: Partial<Exchange>): { time: number; timings: Record<string, number> } {
  const connect = x.tls_ms === undefined ? x.connect_ms : (x.connect_ms ?? 0) + x.tls_ms;
  const timings = {
    blocked: x.blocked_ms ?? -1, dns: x.dns_ms ?? -1, connect: connect ?? -1, ssl: x.tls_ms ?? -1,
    send: Math.max(x.send_ms ?? 0, 0), wait: Math.max(x.wait_ms ?? 0, 0), receive: Math.max(x.receive_ms ?? 0, 0),
  };
  const { ssl: _, ...summed } = timings;
  return { time: Object.values(summed).reduce((sum, ms) => sum + Math.max(ms, 0), 0), timings };
}

/** A header's fields, those that carry credentials redacted whatever they say. */
function pairs(fields: Field[] = []): Pair[] {
  return fields.map(([name, value]) => ({ name, value: hides(name.toLowerCase()) ? "[redacted]" : value }));
}

/** A URL's query, once decoded. */
function query(url: string): Pair[] {
  const at = url.indexOf("?");
  const parts = at < 0 ? [] : url.slice(at + 1).split("#")[0]!.split("&");
  return parts.filter((part) => part !== "").map((part) => {
    const equals = part.indexOf("=");
    return equals < 0 ? { name: unescaped(part), value: "" } : { name: unescaped(part.slice(0, equals)), value: unescaped(part.slice(equals + 1)) };
  });
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return text;
  }
}

function stamp(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

/** The fields that say something. */
function own(fields: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, string] => !!entry[1]));
}
