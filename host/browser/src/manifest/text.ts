/** Texts in messages, and what HTTP lets stand where. */

const encoder = new TextEncoder();

/** The length of a text in bytes of UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** A text's UTF-8 as a string of one character for each byte, for patterns that look at bytes. */
export function byteString(text: string): string {
  let out = "";
  for (const byte of encoder.encode(text)) out += String.fromCharCode(byte);
  return out;
}

/** Shows a value in a message: in one line, and not at any length. */
export function quote(text: string, most = 60): string {
  const characters = [...text];
  return JSON.stringify(characters.length > most ? characters.slice(0, most).join("") + "…" : text);
}

/** The dotted key of a mapping's entry. */
export function child(parent: string, key: string): string {
  if (!/^[!-~]{1,128}$/.test(key) || /[."[\]:\\]/.test(key)) return `${parent}[${quote(key)}]`;
  return parent === "" ? key : `${parent}.${key}`;
}

/** The key of a list's item. */
export function item(parent: string, index: number): string {
  return `${parent}[${index}]`;
}

/** Whether a text is a token (RFC 9110, section 5.6.2), as methods and field names are. */
export function isToken(text: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
}

/** Whether a text can be a field's value: no control characters but tabs. */
export function isFieldValue(text: string): boolean {
  return !/[\x00-\x08\x0a-\x1f\x7f]/.test(text);
}

/** A text without blanks at its ends. A pattern that looks for them at the end takes time by the square of those inside. */
export function trimmed(text: string, blanks = " \t"): string {
  let from = 0, to = text.length;
  while (from < to && blanks.includes(text[from]!)) from++;
  while (to > from && blanks.includes(text[to - 1]!)) to--;
  return text.slice(from, to);
}

/** A field's name as the server writes it: Content-Type. */
export function canonicalName(name: string): string {
  return isToken(name) ? name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase()) : name;
}

/** A list sorted by bytes and without repeats. */
export function distinct<T extends string | number>(list: T[]): T[] {
  return [...new Set(list)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
