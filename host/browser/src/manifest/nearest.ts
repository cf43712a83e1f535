/**
 * The candidate that a misspelt word most likely means, or "". Case and the choice of separator don't count as mistakes, nor does a
 * word that goes on or stops early; otherwise about one character in three may be wrong.
 */
export function nearest(word: string, candidates: Iterable<string>): string {
  let best = "", least = word.length + 1;
  if (word.length > 128) return best;
  for (const candidate of candidates) {
    const a = plain(word), b = plain(candidate);
    let d = distance(a, b);
    const short = Math.min(a.length, b.length);
    if (short > 3 && Math.max(a.length, b.length) <= short + 3 && (a.startsWith(b) || b.startsWith(a))) d = Math.min(d, 1);
    if (d <= Math.max(1, Math.floor(Math.min(word.length, candidate.length) / 3)) && d < least) [best, least] = [candidate, d];
  }
  return best;
}

export function plain(text: string): string {
  return text.toLowerCase().replace(/[_ -]/g, "");
}

/** The characters to insert, delete, replace or swap with their neighbour to get from a to b (optimal string alignment). */
function distance(a: string, b: string): number {
  const x = [...a], y = [...b];
  const rows = x.concat("").map(() => new Array<number>(y.length + 1).fill(0));
  for (let i = 0; i <= x.length; i++) {
    for (let j = 0; j <= y.length; j++) {
      if (i === 0 || j === 0) {
        rows[i]![j] = i + j;
        continue;
      }
      const cost = x[i - 1] === y[j - 1] ? 0 : 1;
      let d = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && x[i - 1] === y[j - 2] && x[i - 2] === y[j - 1]) d = Math.min(d, rows[i - 2]![j - 2]! + 1);
      rows[i]![j] = d;
    }
  }
  return rows[x.length]![y.length]!;
}
