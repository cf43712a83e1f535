import { fail, type Fail } from "../policy/failure.js";
import { trimmed } from "../manifest/text.js";
import { quote } from "./text.js";

/** The statuses that fulfil a fetch, as pairs of the least and the most; none: any. */
export type Expect = [from: number, to: number][];

/** Reads a list of statuses (`200`), classes (`2xx`) and ranges (`200-299`), separated by commas. Empty text expects any status. */
export function parseExpect(text: string): Expect | Fail {
  const ranges: Expect = [];
  if (text.trim() === "") return ranges;
  for (const part of text.split(",")) {
    const shown = trimmed(part), class_ = /^([1-5])xx$/i.exec(shown);
    const range = class_ ? [+class_[1]! * 100, +class_[1]! * 100 + 99] : /^([1-5]\d\d)(?:[ \t]*-[ \t]*([1-5]\d\d))?$/.exec(shown)?.slice(1).map((n) => +(n ?? 0));
    const [from = 0, to = 0] = range ?? [];
    if (!range || (to !== 0 && from > to)) {
      return fail("invalid_request", `expect has ${quote(part)}; write statuses, classes and ranges such as "2xx", "200,404" or "200-299"`);
    }
    if (ranges.length === 100) return fail("invalid_request", "expect has more than 100 parts");
    ranges.push([from, to || from]);
  }
  return ranges;
}

export function isExpected(expect: Expect, status: number): boolean {
  return expect.length === 0 || expect.some(([from, to]) => from <= status && status <= to);
}
