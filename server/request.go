package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/sortie-run/sortie/host"
)

// requestBody is a request's body as its plugin gets it.
type requestBody struct {
	ctx    context.Context // ends when the client goes
	whole  []byte
	pieces *pieces // in place of whole, for a plugin that asks for it; nil for others
}

// end gives back what reading in pieces takes. It may be called again.
func (b *requestBody) end() {
	if b.pieces != nil {
		b.pieces.end()
	}
}

// request is what the plugin sees of the client's request.
func (s *Server) request(i *invocation, name string, body *requestBody, out *outgoing) *host.Request {
	r := i.c.Request()
	request := &host.Request{
		ID: invocationID(i.c), Method: r.Method, Path: pathBelow(r.URL), RawQuery: r.URL.RawQuery, Host: r.Host, RemoteAddr: clientOf(i.c).addr,
		Header: s.shownHeader(r.Header), Body: body.whole, Arrived: i.arrived, Writer: out, OnLog: i.logged,
	}
	if body.pieces != nil {
		request.BodyReader, request.BodyLength = body.pieces, r.ContentLength
	}
	return request
}

// shownHeader is the request's header without what concerns the connection, what is ours, and the credential we accept.
func (s *Server) shownHeader(h http.Header) http.Header {
	nominated := nominees(h["Connection"])
	shown := make(http.Header, len(h))
	for name, values := range h {
		if hopByHop[name] || nominated[name] || isOurs(name) || name == "Expect" {
			continue
		}
		if name == "Authorization" {
			values = s.tokens.without(s.settings.Load().people, values)
		}
		if len(values) > 0 {
			shown[name] = values
		}
	}
	return shown
}

// hopByHop are the fields that concern one connection (RFC 9110, section 7.6.1; Proxy-Connection and Keep-Alive are older).
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authentication-Info": true,
	"Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// nominees are the fields that a message's Connection fields name: they too concern the connection.
func nominees(connection []string) map[string]bool {
	var names map[string]bool
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			if names == nil {
				names = map[string]bool{}
			}
			names[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return names
}

// isOurs reports whether a field is one of Sortie's, which pass through in neither direction.
func isOurs(name string) bool {
	const prefix = "Sortie-"
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// pathBelow is the part of /p/NAME/path after the name, percent-encoded as the client sent it; "/" if there is none.
func pathBelow(u *url.URL) string {
	path := u.RawPath // as it was sent, where that isn't the default encoding
	if path == "" {
		path = u.EscapedPath()
	}
	path = strings.TrimPrefix(path, "/p/")
	_, below, found := strings.Cut(path, "/")
	if !found {
		return "/"
	}
	return encodeRest("/" + below)
}

// encodeRest encodes the bytes that net/http lets through though no URL may hold them, and leaves everything else as it is.
func encodeRest(path string) string {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%[]"
	const hexa = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		if ch := path[i]; strings.IndexByte(allowed, ch) >= 0 {
			b.WriteByte(ch)
		} else {
			b.Write([]byte{'%', hexa[ch>>4], hexa[ch&15]})
		}
	}
	return b.String()
}
