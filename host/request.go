package host

import (
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host/fetch"
)

// Request is what a plugin is invoked with.
type Request struct {
	ID         string // the invocation's, for the report; "": one is made up
	Method     string // "": GET
	Path       string // below the plugin's own, percent-encoded, beginning with "/"; "": "/"
	RawQuery   string // without "?"
	Host       string
	RemoteAddr string
	Header     http.Header // Sortie-… fields are not shown to the plugin
	Body       []byte      // must not be changed before Invoke returns
	Arrived    time.Time   // when the wall limit began to run; zero: now

	// BodyReader gives the body in pieces in place of Body, to a plugin that asks for it: see [Plugin.StreamsRequest]. It is read by
	// another goroutine, only as far as the plugin reads and 64 KiB beyond, and has been closed when Invoke returns; Close must make a
	// Read that waits return. An error of it that is an *Error is the invocation's, any other is plugin_error unless the plugin answers all
	// the same. Other plugins' requests must have none.
	BodyReader io.ReadCloser
	BodyLength int64 // of BodyReader, in bytes; below 0: unknown

	// Writer is given an answer that the plugin streams. Nil: such an answer is gathered, and is a Response like any other.
	Writer Writer
	// OnLog is called for each line as the plugin logs it, redacted, from the goroutine that runs the plugin. May be nil.
	OnLog func(LogLine)
}

// Writer takes a streamed answer. Begin and Write are called one at a time, by another goroutine than Invoke's and only before that returns.
// An error means that the client has gone, and ends the invocation.
type Writer interface {
	// Begin takes the head; the response has no Body.
	Begin(*Response) error
	// Write takes the next piece of the body, sends it on at once, and waits as long as the client makes it wait.
	Write([]byte) (int, error)
	// Abort makes a call that waits for the client fail soon, and all that follow. It may be called at any time while Invoke runs.
	Abort()
}

// Response is a plugin's answer.
type Response struct {
	Status int           // 200 to 599
	Header []fetch.Field // valid field lines, without those of the connection and Sortie-…
	Body   []byte        // the caller's to keep

	// Streamed says that the answer went to the request's Writer: then there is no Body, and Status and Header are what it began with.
	Streamed bool
}

// ours is how the names of our own header fields begin; plugins neither see nor set them.
const ours = "sortie-"

func shown(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if !isOurs(name) {
			out[name] = values
		}
	}
	return out
}

func isOurs(name string) bool {
	return len(name) >= len(ours) && strings.EqualFold(name[:len(ours)], ours)
}

// connectionFields are decided by whoever sends the response, never by who wrote it (RFC 9110, sections 7.6.1 and 8.6; RFC 9112).
var connectionFields = map[string]bool{
	"connection": true, "content-length": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true,
}

// sendable drops what a plugin can't set. Names and values have been checked by the ABI.
func sendable(fields []fetch.Field) []fetch.Field {
	out := make([]fetch.Field, 0, len(fields))
	for _, f := range fields {
		if !isOurs(f.Name) && !connectionFields[strings.ToLower(f.Name)] && httpguts.ValidHeaderFieldName(f.Name) {
			out = append(out, f)
		}
	}
	return out
}
