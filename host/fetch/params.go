package fetch

import "time"

// The bounds that no policy names. Each is there so that neither a guest nor an upstream decides how much of the host it uses.
const (
	defaultFetches   = 1024
	defaultPerOrigin = 128
	defaultUserAgent = "sortie"

	// Of a limit that clients share, a part is kept for those that hold less than that part, if it is large enough for that to matter.
	reservedPart  = 16
	leastReserved = 64

	// Origins whose slots are kept while nobody uses them, instead of being made anew for every request.
	maxIdleOrigins = 256

	// Stored responses that are revalidated at once without anybody waiting, by client.
	maxBackground = 4

	// ourEncodings is what decode.go can undo, the usual ones first.
	ourEncodings = "gzip, deflate, br, zstd"

	// The longest registered method has 17 bytes.
	maxMethod = 64

	// A request's header is refused past this, before a server would answer 431.
	maxRequestFields = 256
	maxRequestHead   = 64 << 10

	// What one hop of a redirect chain may set, and what is sent of it all. Browsers keep 180 cookies of a site, servers take 8 KiB of header.
	maxCookies     = 180
	maxCookieBytes = 8 << 10

	// A response's header is a protocol_error past this. Browsers take 256 KiB, servers send 8 KiB at most as a rule.
	maxResponseFields = 512
	maxResponseHead   = 128 << 10

	// Idle connections are closed before servers do so: common ones wait 5 s and up. The fewer requests meet a dying connection. There may be so many
	// of package http1's, and as many of net/http's.
	idleTimeout      = 4 * time.Second
	maxIdlePerClient = 256

	// How often a request is sent again within its slots: one that the server says it never looked at, and one whose kept-alive connection
	// broke before an answer.
	maxUnprocessed = 3
	maxStale       = 1

	// A connection on which an HTTP/2 server says nothing for so long is asked, then given up.
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
	// readAhead is how many bytes of a response nobody reads HTTP/2 takes from the upstream. net/http's own 4 MiB for each stream would be
	// held outside all limits.
	readAhead = 256 << 10

	// What is read of a body nobody wants, so that its connection can be used again: longer ones cost more than a new connection.
	// One that doesn't come soon isn't worth waiting for either.
	maxDiscard     = 16 << 10
	maxDiscardTime = 100 * time.Millisecond

	// The largest allocation on the word of a Content-Length. Longer bodies grow as they arrive.
	maxTrustedLength = 1 << 20

	// What a fetch needs of its goroutine's stack, nearly always.
	fetchStack = 6 << 10

	// Scratch for bodies of unknown length; most end within it and are then copied once.
	scratchSize = 32 << 10

	// One write to a connection. Progress is seen this often.
	maxWrite = 64 << 10

	// Bodies past this are watched while they go out; HTTP/2's first window is as large.
	watchedBody = 64 << 10

	// Content-Encoding with more codings than this is no one's honest answer.
	maxCodings = 4

	// RFC 9659: an HTTP zstd window has 8 MiB at most.
	maxZstdWindow = 8 << 20

	// Records kept for a report; later ones are only counted. More than the requests of the largest default ceiling.
	maxRecords   = 4096
	maxRecordURL = 1 << 10

	maxMessage = 400 // bytes of a message
	maxQuoted  = 120 // bytes of foreign text in it
)

// encodedAllowance is how many encoded bytes may be read for a body of at most that many decoded ones. Honest encoders add less than
// a thousandth to what doesn't compress; without a bound, empty blocks could be sent for ever.
func encodedAllowance(decoded int64) int64 { return decoded + decoded/8 + 64<<10 }
