package host

import (
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
}

// Response is a plugin's answer.
type Response struct {
	Status int           // 200 to 599
	Header []fetch.Field // valid field lines, without those of the connection and Sortie-…
	Body   []byte        // the caller's to keep
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
	out := fields[:0]
	for _, f := range fields {
		if !isOurs(f.Name) && !connectionFields[strings.ToLower(f.Name)] && httpguts.ValidHeaderFieldName(f.Name) {
			out = append(out, f)
		}
	}
	return out
}
