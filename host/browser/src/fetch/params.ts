/** The bounds that no policy names, as in host/fetch/params.go. */

export const maxMethod = 64; // bytes
export const maxRequestFields = 256;
export const maxRequestHead = 64 << 10; // bytes
export const maxResponseFields = 512;
export const maxResponseHead = 128 << 10; // bytes
export const maxCookies = 180; // that one hop may set
export const maxCookieBytes = 8 << 10; // that are sent of them
export const maxCodings = 4; // of a body
export const maxDiscard = 16 << 10; // bytes read of a body that nobody wants, so that its connection can be used again
export const maxDiscardTime = 100; // ms
export const maxRecords = 4096; // fetches, and requests, that a session's records hold
export const maxRecordURL = 1 << 10; // bytes
export const maxKeptHeaders = 1 << 20; // bytes that a session's records hold
export const maxMessage = 400; // bytes
export const maxQuoted = 120; // bytes of foreign text in a message
