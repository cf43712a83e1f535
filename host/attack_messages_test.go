package host_test

import (
	"strconv"
	"strings"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Methods and header fields that are to become more than that on the wire.

// noMethods can't be sent at all.
var noMethods = []string{
	"CONNECT", "connect", "Connect", "cOnNeCt", "TRACE", "trace", "tRaCe", "TRACK", "track",
	" GET", "GET ", " ", "GET\t", "G ET", "GET /", "GET/", "GET,POST", "GET;", "GET:", "(GET)", "[GET]", "{GET}", "GET\"", "G@T", "G\\T",
	"G=T", "G?T", "<GET>", "GET\r\n", "GET\n", "\r\nGET", "GET\x00", "\x00", "GET\x7f", "GET\x01", "G\u00cbT", "ＧＥＴ", "GET\u200b",
	"G\u0415T", "GET\u2028", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\nGET", "GET / HTTP/1.1\r\nHost: evil.test",
	"GET http://evil.test:{c}/ HTTP/1.1\r\n\r\n", "GET / HTTP/1.1", strings.Repeat("G", 65), strings.Repeat("GET", 1000),
}

// badFields can't be sent at all.
var badFields = []fetch.Field{
	{Name: "", Value: "x"}, {Name: " ", Value: "x"}, {Name: "X ", Value: "x"}, {Name: " X", Value: "x"}, {Name: "X Y", Value: "x"},
	{Name: "X:", Value: "x"}, {Name: ":", Value: "x"}, {Name: "X\t", Value: "x"}, {Name: "Host ", Value: "evil.test"},
	{Name: " Host", Value: "evil.test"}, {Name: "Host:", Value: "evil.test"}, {Name: "Host\t", Value: "evil.test"},
	{Name: "Ho st", Value: "evil.test"}, {Name: "Host\x00", Value: "evil.test"}, {Name: ":authority", Value: "evil.test"},
	{Name: ":path", Value: "/x"}, {Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
	{Name: "X\r\nHost", Value: "evil.test"}, {Name: "X: y\r\nHost", Value: "evil.test"}, {Name: "X\nHost", Value: "evil.test"},
	{Name: "X\rHost", Value: "evil.test"}, {Name: "X\r\n\r\nGET / HTTP/1.1\r\nHost", Value: "evil.test"},
	{Name: "Content-Length\x00", Value: "0"}, {Name: "Transfer-Encoding ", Value: "chunked"},
	{Name: "Transfer-Encoding\x0b", Value: "chunked"}, {Name: "Ho\u017ft", Value: "evil.test"}, {Name: "H\u043est", Value: "evil.test"},
	{Name: "Ｈost", Value: "evil.test"}, {Name: "Host\u00a0", Value: "evil.test"}, {Name: "\u00adHost", Value: "evil.test"},
	{Name: "Connection\u200b", Value: "close"}, {Name: "X(Y)", Value: "x"}, {Name: "X/Y", Value: "x"}, {Name: "X@Y", Value: "x"},
	{Name: "\"X\"", Value: "x"}, {Name: "X\x7f", Value: "x"}, {Name: "[X]", Value: "x"}, {Name: "{X}", Value: "x"},
	{Name: "X", Value: "a\r\nHost: evil.test"}, {Name: "X", Value: "a\nHost: evil.test"}, {Name: "X", Value: "a\rHost: evil.test"},
	{Name: "X", Value: "a\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"}, {Name: "X", Value: "\r\n"}, {Name: "X", Value: "a\r\n b"},
	{Name: "X", Value: "a\x00b"}, {Name: "X", Value: "\x00"}, {Name: "X", Value: "a\x7f"}, {Name: "X", Value: "a\x01"},
	{Name: "X", Value: "a\x1b[0m"}, {Name: "X", Value: "a\x0bb"}, {Name: "X", Value: "a\x08"}, {Name: "Host", Value: "evil.test\r\nX: y"},
	{Name: "Content-Length", Value: "0\r\n\r\n"}, {Name: "Transfer-Encoding", Value: "chunked\r\n\r\n0\r\n\r\n"},
	{Name: "User-Agent", Value: "x\r\nHost: evil.test"}, {Name: "Cookie", Value: "a=b\r\nHost: evil.test"},
	{Name: "Authorization", Value: "x\nHost: evil.test"}, {Name: "Sortie-Version", Value: "1\r\nHost: evil.test"},
	{Name: "Proxy-Authorization", Value: "x\x00"}, {Name: strings.Repeat("X", 64<<10), Value: "x"},
	{Name: "X", Value: strings.Repeat("x", 64<<10)}, {Name: "Host", Value: strings.Repeat("x", 65<<10)},
}

// ownedFields are the host's: the guest's are left out, and the request goes where its URL says.
var ownedFields = []fetch.Field{
	{Name: "Host", Value: "evil.test:{c}"}, {Name: "host", Value: "evil.test"}, {Name: "HOST", Value: "evil.test"},
	{Name: "hOsT", Value: ""}, {Name: "Host", Value: "http://evil.test:{c}/"}, {Name: "Content-Length", Value: "0"},
	{Name: "content-length", Value: "5"}, {Name: "Content-Length", Value: "-1"}, {Name: "Content-Length", Value: "1, 2"},
	{Name: "CONTENT-LENGTH", Value: "99999999999999999999"}, {Name: "Transfer-Encoding", Value: "chunked"},
	{Name: "transfer-encoding", Value: "identity"}, {Name: "Transfer-Encoding", Value: "gzip, chunked"},
	{Name: "Transfer-Encoding", Value: " chunked"}, {Name: "TRANSFER-ENCODING", Value: "xchunked"}, {Name: "Connection", Value: "close"},
	{Name: "connection", Value: "Host, X"}, {Name: "Connection", Value: "Upgrade"}, {Name: "Keep-Alive", Value: "timeout=9"},
	{Name: "TE", Value: "trailers"}, {Name: "te", Value: "chunked"}, {Name: "Trailer", Value: "Host"}, {Name: "Upgrade", Value: "h2c"},
	{Name: "Upgrade", Value: "websocket"}, {Name: "Expect", Value: "100-continue"}, {Name: "expect", Value: "x"},
	{Name: "HTTP2-Settings", Value: "AAMAAABkAARAAAAAAAIAAAAA"}, {Name: "Proxy-Authorization", Value: "Basic eA=="},
	{Name: "proxy-connection", Value: "keep-alive"}, {Name: "Proxy-Authenticate", Value: "x"}, {Name: "Proxy-Anything", Value: "x"},
	{Name: "PROXY-", Value: "x"}, {Name: "Proxy-Features", Value: "x"}, {Name: "Sortie-Version", Value: "4"},
	{Name: "sortie-authorization", Value: "Bearer x"}, {Name: "SORTIE-INVOCATION", Value: "x"}, {Name: "Sortie-", Value: "x"},
	{Name: "Sortie-Error", Value: "x"}, {Name: "sOrTiE-x", Value: "x"},
}

// passedFields are the plugin's to send, however they look: no one routes by them.
var passedFields = []fetch.Field{
	{Name: "Forwarded", Value: "for=1.2.3.4;host=evil.test"}, {Name: "X-Forwarded-Host", Value: "evil.test"},
	{Name: "X-Forwarded-For", Value: "127.0.0.1"}, {Name: "Via", Value: "1.1 evil.test"}, {Name: "X-Host", Value: "evil.test"},
	{Name: "X-Original-Url", Value: "/private"}, {Name: "Range", Value: "bytes=0-"}, {Name: "Authorization", Value: "Bearer x"},
	{Name: "X-Empty", Value: ""},
}

func messageSieges() []siege {
	s := siege{
		name:    "methods and headers",
		private: []string{"127.0.0.0/8"},
		rules: `
    - {url: "http://lure.test:*", private: true}
    - {url: "http://get.test:*", methods: [GET, HEAD], private: true}
    - {url: "http://patch.test:*", methods: [PATCH], private: true}
    - {url: "http://two.test:*/a", methods: [GET], private: true}
    - {url: "http://two.test:*", methods: [PUT], private: true}
`,
		names: map[string][]string{"get.test": {"127.0.0.1"}, "patch.test": {"127.0.0.1"}, "two.test": {"127.0.0.1"}},
	}
	for _, method := range noMethods {
		s.attacks = append(s.attacks, attack{name: "no method " + strconv.QuoteToASCII(method), url: "http://lure.test:{c}/", method: method, want: failure.InvalidRequest})
	}
	for _, method := range []string{"POST", "post", "Post", "PUT", "put", "DELETE", "PATCH", "OPTIONS", "options", "PROPFIND", "BREW", "GETT", "GE", "XGET", "GET1", "G-ET", "GET!", "!", "HEADER", "QUERY", strings.Repeat("G", 64)} {
		s.attacks = append(s.attacks, attack{name: "not that method " + method, url: "http://get.test:{c}/", method: method, want: failure.MethodDenied})
	}
	s.attacks = append(s.attacks, methodRules...)
	for _, f := range badFields {
		s.attacks = append(s.attacks, attack{name: "bad field", url: "http://lure.test:{c}/", header: []fetch.Field{f}, want: failure.InvalidRequest})
	}
	for _, f := range ownedFields {
		s.attacks = append(s.attacks,
			attack{name: "the host's field " + f.Name, url: "http://lure.test:{l}/", header: []fetch.Field{f}, sent: "GET / lure.test:{l}"},
			attack{name: "the host's field with a body " + f.Name, url: "http://lure.test:{l}/", method: "POST", body: "0\r\n\r\nGET / HTTP/1.1\r\n\r\n", header: []fetch.Field{f}, sent: "POST / lure.test:{l}"},
		)
	}
	for _, f := range passedFields {
		s.attacks = append(s.attacks, attack{name: "the plugin's field " + f.Name, url: "http://lure.test:{l}/", header: []fetch.Field{f}, sent: "GET / lure.test:{l}", fields: []string{f.Name + ": " + f.Value}})
	}
	return []siege{s}
}

// methodRules are methods under rules, and several fields at once.
var methodRules = []attack{
	{name: "GET", url: "http://get.test:{l}/", sent: "GET / get.test:{l}"},
	{name: "get", url: "http://get.test:{l}/", method: "get", sent: "GET / get.test:{l}"},
	{name: "PATCH", url: "http://patch.test:{l}/", method: "PATCH", sent: "PATCH / patch.test:{l}", fields: []string{"Content-Length: 0"}},
	{name: "any method", url: "http://lure.test:{l}/", method: "BREW", sent: "BREW / lure.test:{l}"},
	{name: "OPTIONS of a path, not of the server", url: "http://lure.test:{l}/*", method: "OPTIONS", sent: "OPTIONS /* lure.test:{l}"},
	{name: "the rule further down", url: "http://two.test:{l}/a", method: "PUT", body: "x", sent: "PUT /a two.test:{l}"},

	// Only browsers' own methods are normalised; Extism's call is documented to take any case.
	{name: "patch isn't PATCH", url: "http://patch.test:{l}/", method: "patch", want: failure.MethodDenied, extism: "ok", sent: "PATCH / patch.test:{l}", fields: []string{"Content-Length: 0"}},
	{name: "a letter that becomes S in capitals", url: "http://get.test:{c}/", method: "po\u017ft", want: failure.InvalidRequest, extism: failure.MethodDenied},
	{name: "GET where PATCH is", url: "http://patch.test:{c}/", want: failure.MethodDenied},
	{name: "neither rule's method", url: "http://two.test:{c}/a", method: "POST", want: failure.MethodDenied},
	{name: "the other rule's method", url: "http://two.test:{c}/b", want: failure.MethodDenied},
	{name: "CONNECT to a host", url: "http://evil.test:{c}/", method: "CONNECT", want: failure.InvalidRequest},
	{name: "the override is a field like any", url: "http://get.test:{l}/", header: []fetch.Field{{Name: "X-Http-Method-Override", Value: "DELETE"}}, sent: "GET / get.test:{l}", fields: []string{"X-Http-Method-Override: DELETE"}},

	{name: "Host twice", url: "http://lure.test:{l}/", header: []fetch.Field{{Name: "Host", Value: "a.test"}, {Name: "host", Value: "evil.test"}}, sent: "GET / lure.test:{l}"},
	{name: "length and coding", url: "http://lure.test:{l}/", method: "POST", body: "abc", sent: "POST / lure.test:{l}",
		header: []fetch.Field{{Name: "Content-Length", Value: "1"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "content-length", Value: "2"}}},
	{name: "an upgrade", url: "http://lure.test:{l}/", sent: "GET / lure.test:{l}",
		header: []fetch.Field{{Name: "Connection", Value: "Upgrade, HTTP2-Settings"}, {Name: "Upgrade", Value: "h2c"}, {Name: "HTTP2-Settings", Value: "AAMAAABkAARAAAAAAAIAAAAA"}}},
	{name: "a good one beside a bad one", url: "http://lure.test:{c}/", header: []fetch.Field{{Name: "X", Value: "y"}, {Name: "Z", Value: "a\r\nb"}}, want: failure.InvalidRequest},
	{name: "a body like a request", url: "http://lure.test:{l}/", method: "POST", body: "\r\n\r\nGET http://evil.test:{c}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", sent: "POST / lure.test:{l}"},
	{name: "GET with a body", url: "http://lure.test:{l}/", body: "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", sent: "GET / lure.test:{l}"},
	{name: "too many fields", url: "http://lure.test:{c}/", header: many(257), want: failure.InvalidRequest},
	{name: "too many of the host's fields", url: "http://lure.test:{c}/", header: append(many(250), ownedFields[:10]...), want: failure.InvalidRequest, extism: failure.InvalidRequest},
}

func many(n int) []fetch.Field {
	fields := make([]fetch.Field, n)
	for i := range fields {
		fields[i] = fetch.Field{Name: "X-" + strconv.Itoa(i), Value: "x"}
	}
	return fields
}
