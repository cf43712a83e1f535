import { compileRule, matches } from "./rule.js";
import type { ParsedURL } from "./url.js";

/** Whether one of a list of patterns, such as a secret's `allow`, covers a URL. It matches as the rules of fetch.allow do. */
export function compilePatterns(urls: string[]): (u: ParsedURL) => boolean {
  const rules = urls.map((url, i) => compileRule(i + 1, { url }));
  return (u) => rules.some((rule) => matches(rule, u));
}
