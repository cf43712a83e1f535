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
	// BodyReader gives the body of a fetch when Body is nil. It is read by a goroutine while the fetch is under way, as fast as the upstream
	// takes it, and goes on while a streamed response is read. If it fails the fetch does, as invalid_request, and its error is
	// wrapped. If it is an io.Closer it is closed when no more of it is needed. If it has a method Len() int, as bytes.Reader and
	// strings.Reader do, that is announced as the body's length; others are sent without one.
	//
	// What has been read is gone: once the body has begun, the fetch isn't retried, and a redirect that would keep the body is
	// redirect_blocked.
	//
	// Of the request that a plugin serves it reads the body as it arrives, if the handler was given to [HandleStream]; then it is an
	// io.Closer, and Body is nil.
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
