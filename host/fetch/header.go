package fetch

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// hostOwned tells whether a field is the host's alone: what frames and routes a message (RFC 9110, sections 7.2, 7.6.1, 7.8, 8.6, 10.1.1,
// 10.1.4), and what is Sortie's own. The name is canonical.
func hostOwned(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Te", "Trailer", "Upgrade", "Expect", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Sortie-")
}

// checkMethod normalises a method (Fetch standard, section 2.2.1). CONNECT makes tunnels, and TRACE and TRACK have the server send
// back the header, secrets included.
func checkMethod(method string) (string, *failure.Error) {
	if method == "" {
		return http.MethodGet, nil
	}
	if len(method) > maxMethod {
		return "", failure.New(failure.InvalidRequest, "the method has %d bytes; %d can be sent", len(method), maxMethod)
	}
	if !httpguts.ValidHeaderFieldName(method) { // a token, as methods are
		return "", failure.New(failure.InvalidRequest, "the method %s is not a token", quote(method))
	}
	switch upper := strings.ToUpper(method); upper {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS":
		return upper, nil
	case "CONNECT", "TRACE", "TRACK":
		return "", failure.New(failure.InvalidRequest, "the method %s can't be used", upper)
	}
	return method, nil
}

// requestHeader checks a guest's fields, drops those that the host owns, and sets what a request should have and the guest didn't give. The
// header and its values may be shared: nobody changes them in place.
func requestHeader(fields []Field, defaults http.Header) (http.Header, *failure.Error) {
	if len(fields) == 0 {
		return defaults, nil
	}
	if len(fields) > maxRequestFields {
		return nil, failure.New(failure.InvalidRequest, "the header has %d fields; %d can be sent", len(fields), maxRequestFields)
	}
	header := make(http.Header, len(fields)+len(defaults))
	size := 0
	for _, f := range fields {
		if !httpguts.ValidHeaderFieldName(f.Name) {
			return nil, failure.New(failure.InvalidRequest, "the header name %s is not a token", quote(f.Name))
		}
		value := strings.Trim(f.Value, " \t")
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, failure.New(failure.InvalidRequest, "the header %s has a control character in its value", quote(f.Name))
		}
		size += len(f.Name) + len(value) + 4
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if hostOwned(name) {
			continue
		}
		header[name] = append(header[name], value) // before the defaults: these slices are the request's own
	}
	if size > maxRequestHead {
		return nil, failure.New(failure.InvalidRequest, "the header has %d bytes; %d can be sent", size, maxRequestHead)
	}
	for name, values := range defaults {
		if _, given := header[name]; !given {
			header[name] = values
		}
	}
	return header, nil
}

func defaultHeader(userAgent string) http.Header {
	return http.Header{"Accept": {"*/*"}, "Accept-Encoding": {ourEncodings}, "User-Agent": {userAgent}}
}

// hasIdempotencyKey tells whether the guest promised that the request may be repeated (draft-ietf-httpapi-idempotency-key-header).
func hasIdempotencyKey(header http.Header) bool { return header["Idempotency-Key"] != nil }

// hopByHop are the fields of a response that say nothing about it, only about the connection it came over.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// checkResponseHeader bounds what net/http let through.
func checkResponseHeader(header http.Header) *failure.Error {
	n := 0
	for name, values := range header {
		n += len(values)
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return failure.New(failure.ProtocolError, "the response's header %s has a control character in its value", quote(name))
			}
		}
	}
	if n > maxResponseFields {
		return failure.New(failure.ProtocolError, "the response's header has %d fields; %d are accepted", n, maxResponseFields)
	}
	return nil
}

// responseFields gives a response's header to the guest. decoded leaves out what described the encoded body.
func responseFields(header http.Header, decoded bool) []Field {
	var room [24]string
	names := room[:0]
	for name := range header { // which a record may hold as well, so that it stays as it is
		if slices.Contains(hopByHop[:], name) || decoded && (name == "Content-Encoding" || name == "Content-Length") {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	fields := make([]Field, 0, len(header))
	for _, name := range names {
		lower := lowerName(name)
		for _, v := range header[name] {
			fields = append(fields, Field{lower, v})
		}
	}
	return fields
}

// lowerName is strings.ToLower without an allocation for the names that nearly all responses have.
func lowerName(name string) string {
	switch name {
	case "Date":
		return "date"
	case "Content-Type":
		return "content-type"
	case "Content-Length":
		return "content-length"
	case "Cache-Control":
		return "cache-control"
	case "Server":
		return "server"
	case "Etag":
		return "etag"
	case "Vary":
		return "vary"
	}
	return strings.ToLower(name)
}
