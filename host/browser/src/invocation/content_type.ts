/**
 * Guesses the type of a raw plugin's answer: JSON if it is, else as the server does (Go's http.DetectContentType), which follows the
 * WHATWG's MIME Sniffing, section 7. Signatures of fonts are left out: no plugin answers them without saying so.
 */
export function contentType(body: Uint8Array): string {
  const first = body.findIndex((b) => b !== 0x20 && b !== 0x09 && b !== 0x0d && b !== 0x0a);
  if ((body[first] === 0x7b || body[first] === 0x5b) && isJSON(body)) return "application/json";
  return sniff(body.subarray(0, 512));
}

function isJSON(body: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder().decode(body));
    return true;
  } catch {
    return false;
  }
}

const tags = [
  "<!DOCTYPE HTML", "<HTML", "<HEAD", "<SCRIPT", "<IFRAME", "<H1", "<DIV", "<FONT", "<TABLE", "<A", "<STYLE", "<TITLE", "<B", "<BODY",
  "<BR", "<P", "<!--",
];

/** Beginnings of files; a "?" is any byte. */
const signatures: [beginning: string, type: string][] = [
  ["%PDF-", "application/pdf"],
  ["%!PS-Adobe-", "application/postscript"],
  ["\xfe\xff??", "text/plain; charset=utf-16be"],
  ["\xff\xfe??", "text/plain; charset=utf-16le"],
  ["\xef\xbb\xbf?", "text/plain; charset=utf-8"],
  ["\x00\x00\x01\x00", "image/x-icon"],
  ["\x00\x00\x02\x00", "image/x-icon"],
  ["BM", "image/bmp"],
  ["GIF87a", "image/gif"],
  ["GIF89a", "image/gif"],
  ["RIFF????WEBPVP", "image/webp"],
  ["\x89PNG\r\n\x1a\n", "image/png"],
  ["\xff\xd8\xff", "image/jpeg"],
  ["FORM????AIFF", "audio/aiff"],
  ["ID3", "audio/mpeg"],
  ["OggS\x00", "application/ogg"],
  ["MThd\x00\x00\x00\x06", "audio/midi"],
  ["RIFF????AVI ", "video/avi"],
  ["RIFF????WAVE", "audio/wave"],
  ["\x1a\x45\xdf\xa3", "video/webm"],
  ["\x1f\x8b\x08", "application/x-gzip"],
  ["PK\x03\x04", "application/zip"],
  ["Rar!\x1a\x07\x00", "application/x-rar-compressed"],
  ["Rar!\x1a\x07\x01\x00", "application/x-rar-compressed"],
  ["\x00asm", "application/wasm"],
];

function sniff(head: Uint8Array): string {
  const text = String.fromCharCode(...head);
  const trimmed = text.replace(/^[\t\n\f\r ]+/, "");
  const upper = trimmed.toUpperCase();
  if (tags.some((tag) => upper.startsWith(tag) && (tag === "<!--" || /^[ >]/.test(upper.slice(tag.length))))) {
    return "text/html; charset=utf-8";
  }
  if (trimmed.startsWith("<?xml")) return "text/xml; charset=utf-8";
  for (const [beginning, type] of signatures) {
    if (text.length >= beginning.length && [...beginning].every((c, i) => c === "?" || c === text[i])) return type;
  }
  if (isMP4(head, text)) return "video/mp4";
  return /[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(trimmed) ? "application/octet-stream" : "text/plain; charset=utf-8";
}

/** An ISO media file whose brands have "mp4" (section 6.2.1). */
function isMP4(head: Uint8Array, text: string): boolean {
  if (head.length < 12 || text.slice(4, 8) !== "ftyp") return false;
  const size = new DataView(head.buffer, head.byteOffset).getUint32(0);
  if (size % 4 !== 0 || head.length < size) return false;
  for (let at = 8; at < size; at += 4) if (at !== 12 && text.slice(at, at + 3) === "mp4") return true;
  return false;
}
