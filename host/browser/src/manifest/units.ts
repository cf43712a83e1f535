/** Durations such as "10s" and sizes such as "1MiB". See host/manifest/units.go. */

const milliseconds: Record<string, number> = {
  ns: 1e-6, us: 1e-3, "µs": 1e-3, "μs": 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5,
};

const mostDuration = 2 ** 63 / 1e6; // the server counts nanoseconds in 64 bits

/** Parses "10s", "100ms", "1m30s", "0s" or "0" to milliseconds. Throws an Error with a message for people. */
export function parseDuration(text: string): number {
  const parts = /^[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(text);
  if (text === "0" || text === "-0" || text === "+0") return 0;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)([a-zµμ]+)/g)) total += Number(number) * milliseconds[unit!]!;
  if (parts && total < mostDuration) {
    if (text[0] === "-" && total > 0) throw new Error("a duration can't be negative");
    return total;
  }
  if (text.trim() === text && text !== "" && !Number.isNaN(Number(text))) {
    throw new Error(`${text} without a unit; write ${text}s or ${text}ms, for example`);
  }
  throw new Error(`${JSON.stringify(text)} is not a duration; write 10s, 100ms or 5m, for example`);
}

/** The shortest form that parseDuration reads back: "5m", "1m30s", "100ms". */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  const fixed = (value: number) => String(Number(value.toFixed(9)));
  if (ms < 1e-3) return fixed(ms * 1e6) + "ns";
  if (ms < 1) return fixed(ms * 1e3) + "µs";
  if (ms < 1e3) return fixed(ms) + "ms";
  const hours = Math.floor(ms / 36e5), minutes = Math.floor((ms % 36e5) / 6e4), seconds = (ms % 6e4) / 1e3;
  let text = hours > 0 ? hours + "h" : "";
  if (minutes > 0 || (hours > 0 && seconds > 0)) text += minutes + "m";
  return seconds > 0 ? text + fixed(seconds) + "s" : text;
}

/** Parses "1048576", "1MiB" (steps of 1024) or "8MB" (steps of 1000) to bytes. Throws an Error with a message for people. */
export function parseBytes(text: string): number {
  if (text.startsWith("-")) throw new Error("a size can't be negative");
  const form = /^(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)([iI]?)[bB]?$/.exec(text);
  if (!form || (form[2] === "" && (form[3] !== "" || form[1]!.includes(".")))) {
    throw new Error(`${JSON.stringify(text)} is not a size; write 1MiB, 64KiB or a number of bytes, for example`);
  }
  const power = form[2] === "" ? 0 : "kmgtp".indexOf(form[2]!.toLowerCase()) + 1;
  const bytes = Math.floor(Number(form[1]) * (form[3] === "" ? 1000 : 1024) ** power);
  if (bytes >= 2 ** 63 && text !== "9223372036854775807") throw new Error(`${JSON.stringify(text)} is too large`);
  return bytes;
}

/** The exact size in the largest unit that divides it, binary units first: "1MiB", "8MB", "1500B". */
export function formatBytes(bytes: number): string {
  for (const [step, names] of [[1024, ["PiB", "TiB", "GiB", "MiB", "KiB"]], [1000, ["PB", "TB", "GB", "MB", "kB"]]] as const) {
    for (const [index, name] of names.entries()) {
      const unit = step ** (5 - index);
      if (bytes !== 0 && bytes % unit === 0) return bytes / unit + name;
    }
  }
  return bytes + "B";
}
