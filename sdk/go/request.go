package sortie

import (
	"io"
	"net/url"
	"strings"
)

// Request is an HTTP request: the one a plugin's handler serves, or one for [Fetch] and its companions.
//
// A Request that is fetched isn't changed, so it may be fetched again, also by several goroutines at once, as long as it has no
// BodyReader.
type Request struct {
	// Method is the request's method; the empty one is GET, or POST if WithJSON or WithForm gives the body.
	Method string
	// URL is absolute for a fetch. Only the host parses it (as browsers do); the SDK hands it on byte for byte. Of an inbound
	// request it is the path below the plugin's with the query: "/a%20b?x=1".
	URL string
	// Header fields; those that belong to the host (Host, Content-Length, Connection, …) are dropped.
	Header Header
	// Body, whole.
	Body []byte
	// BodyReader gives the body of a fetch when Body is nil. It is read to its end before the fetch starts, since this edition of the
	// host takes whole bodies only; beyond 64 MiB the fetch is rejected as request_too_large (the policy's request_bytes is less
	// by default). Inbound requests have their Body instead.
	BodyReader io.Reader

	// Path is the path of an inbound request below the plugin's, as it came: percent-encoded. It starts with "/".
	Path string
	// Host is the inbound request's host, with the port if one was given.
	Host string
	// RemoteAddr is the client's address.
	RemoteAddr string

	own settings
}

// Query parses the query of the request's URL. Pairs that can't be parsed are left out.
func (r *Request) Query() url.Values {
	raw, _, _ := strings.Cut(r.URL, "#")
	_, query, _ := strings.Cut(raw, "?")
	values, _ := url.ParseQuery(query)
	return values
}

// With sets options of this request, which beat those of the call that fetches it, and returns the request. Options that concern a whole
// group (WithConcurrency) have no effect here.
func (r *Request) With(opts ...Option) *Request {
	r.own.apply(opts)
	return r
}
