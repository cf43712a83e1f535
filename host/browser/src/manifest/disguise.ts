import { byteString } from "./text.js";

const maxDecodings = 3; // how often a path is decoded in search of what it hides

/**
 * Says what in a path a server may read as another path, or returns "". Such a path matches no rule that has a path. Slashes, backslashes
 * and dots count however often they are encoded, since a proxy in front of the server may decode once and the server again; the rest is
 * known ways around rules. See host/manifest/disguise.go.
 */
export function disguise(path: string): string {
  let text = byteString(path);
  for (let depth = 0; depth < maxDecodings; depth++) {
    if (/%(2[fe]|5c)/i.test(text)) {
      return depth === 0 ? "an encoded slash, backslash or dot" : "a slash, backslash or dot that is encoded twice";
    }
    if (/%u[0-9a-f]{4}/i.test(text)) return "an escape of the form %uXXXX";
    if (/(^|\/)\.{1,2}[;?#\x00-\x20\x7f]/.test(text)) return "a dot segment with more behind it";
    const decoded = decodeOnce(text);
    if (decoded === text) return "";
    if (decoded.includes("\0")) return "an encoded NUL";
    // What is encoded twice may be anything, but for bytes that begin an overlong form (RFC 3629, section 3) or more than Unicode has.
    if ((depth === 0 && !isUTF8(decoded)) || /[\xc0\xc1\xf8-\xfd]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]/.test(decoded)) {
      return "percent-encoded bytes that are not UTF-8";
    }
    text = decoded;
  }
  return decodeOnce(text) === text ? "" : "text that is percent-encoded too many times";
}

/** Undoes one layer of percent-encoding. A "%" that starts no escape stays, as it does in URLs. */
function decodeOnce(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}

function isUTF8(bytes: string): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
    return true;
  } catch {
    return false;
  }
}
