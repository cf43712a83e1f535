/** What the place the engine runs in can do. It is made once; tests make their own. */
export interface Platform {
  name: "browser" | "node";
  fetch: typeof fetch;
  seesRedirects: boolean; // `redirect: "manual"` gives the redirect itself and not an opaque answer
  streamsUploads: boolean; // a request's body may be a stream
  explainsFailures: boolean; // an error's cause says what happened
  forbidsHeaders: boolean; // some fields can't be set (Fetch standard, "forbidden request-header")
  codings: string[]; // content codings that are undone before the engine sees a body
  defaults: [name: string, value: string][]; // fields of requests that don't give them
  init: RequestInit; // of every request
}

/**
 * A page or a worker of one. It has no credentials of the page's, no HTTP cache and no Referer; other origins have to consent by CORS.
 * The browser asks for the codings that it undoes.
 */
export function pagePlatform(fetcher: typeof fetch = bound()): Platform {
  return {
    name: "browser", fetch: fetcher, seesRedirects: false, streamsUploads: false, explainsFailures: false, forbidsHeaders: true,
    codings: ["gzip", "x-gzip", "deflate", "br", "zstd"], defaults: [],
    init: { mode: "cors", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" },
  };
}

/** Node's own fetch, which has neither a cache nor cookies nor CORS. */
export function nodePlatform(fetcher: typeof fetch = bound()): Platform {
  void globalThis.Request; // Node loads its fetch with the first thing that belongs to it, and no fetch's time should pass with that
  return {
    name: "node", fetch: fetcher, seesRedirects: true, streamsUploads: true, explainsFailures: true, forbidsHeaders: false,
    codings: ["gzip", "x-gzip", "deflate", "br"],
    defaults: [["accept", "*/*"], ["accept-encoding", "gzip, deflate, br"], ["user-agent", "sortie"]],
    init: {},
  };
}

/** The platform that this code runs on. */
export function detectPlatform(fetcher?: typeof fetch): Platform {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  return process?.versions?.node ? nodePlatform(fetcher) : pagePlatform(fetcher);
}

function bound(): typeof fetch {
  return ((input: RequestInfo, init?: RequestInit) => globalThis.fetch(input, init)) as typeof fetch; // looked up at each call
}
