// Addresses within the console. They're in the fragment, so that a reload or a link needs nothing of the server, which gets to see none of them.

export interface Route {
  parts: string[]; // decoded
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { parts: path.split("/").filter((part) => part !== "").map(decode), query: new URLSearchParams(query) };
}

/** The fragment of a place. */
export function to(parts: (string | number)[], query?: Record<string, string>): string {
  const path = "#/" + parts.map(encodeURIComponent).join("/");
  return query ? `${path}?${new URLSearchParams(query)}` : path;
}

export function go(parts: (string | number)[], query?: Record<string, string>): void {
  location.hash = to(parts, query);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
