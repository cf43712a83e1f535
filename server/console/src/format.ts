// How numbers, times and addresses are written.

const number = new Intl.NumberFormat("en");

export function count(n: number): string {
  return number.format(n);
}

/** "1 fetch", "2 fetches". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Bytes, in the binary units of manifests. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? count(Math.round(n)) : n.toFixed(n >= 10 ? 1 : 2).replace(/\.?0+$/, "")} ${units[unit]}`;
}

/** Milliseconds. */
export function ms(n: number): string {
  if (n >= 60_000) return `${(n / 60_000).toFixed(1)} min`;
  if (n >= 1000) return `${(n / 1000).toFixed(n >= 10_000 ? 1 : 2)} s`;
  if (n >= 100) return `${Math.round(n)} ms`;
  return `${n >= 10 ? n.toFixed(1) : n.toFixed(2)} ms`;
}

export function clock(time: string | Date): string {
  return new Date(time).toLocaleTimeString("en-GB", { hour12: false }) + "." + String(new Date(time).getMilliseconds()).padStart(3, "0");
}

export function date(time: string): string {
  return new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** How long ago, roughly. */
export function ago(time: string): string {
  const seconds = Math.max(0, (Date.now() - new Date(time).getTime()) / 1000);
  if (seconds < 60) return "just now";
  const [n, unit] =
    seconds < 3600 ? [seconds / 60, "min"] : seconds < 86_400 ? [seconds / 3600, "h"] : seconds < 30 * 86_400 ? [seconds / 86_400, "d"] : [0, ""];
  return unit === "" ? date(time) : `${Math.floor(n)} ${unit} ago`;
}

/** A digest's first digits. */
export function short(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 10);
}

/** A URL's host and path, which are what one looks for. */
export function target(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/[?#].*$/, "").replace(/\/$/, "");
}

/** JSON with indentation; any other text as it is. */
export function pretty(text: string, mediaType: string): string {
  if (!/\bjson\b/i.test(mediaType) && !/^\s*[{[]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
