package server

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/server/internal/signature"
)

func TestConfine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line, want string
		ok         bool
	}{
		{"a=b", "a=b; Path=/p/x", true},
		{"a=b; Path=/; Domain=.example.com", "a=b; Path=/p/x", true},
		{"a=b; path=/p/other; domain=example.com; Path=/", "a=b; Path=/p/x", true},
		{"a=; Max-Age=0", "a=; Path=/p/x; Max-Age=0", true},
		{"a=b; Secure; HttpOnly; SameSite=Strict", "a=b; Path=/p/x; HttpOnly; Secure; SameSite=Strict", true},
		{"__Secure-a=b; Secure", "__Secure-a=b; Path=/p/x; Secure", true},
		{"__Host-a=b; Secure; Path=/", "", false},
		{"__hOsT-a=b; Secure; Path=/", "", false},
		{"=b", "", false},
		{"", "", false},
		{"; Path=/", "", false},
		{"a", "", false},
		{"a b=c", "", false},
	}
	for _, test := range tests {
		got, ok := confine(test.line, "x")
		if got != test.want || ok != test.ok {
			t.Errorf("confine(%q) = %q, %v; want %q, %v", test.line, got, ok, test.want, test.ok)
		}
	}
}

func FuzzConfine(f *testing.F) {
	for _, line := range []string{
		"a=b", "a=b; Path=/; Domain=example.com", "__Host-a=b", `a="b;c"; Path=/x`, "a=b; Path=/\x00; Domain=",
		"a=b;;;; path=/;PATH=/q", "=", "a=b, c=d",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		out, ok := confine(line, "prices")
		if !ok {
			return
		}
		if !httpguts.ValidHeaderFieldValue(out) {
			t.Errorf("%q became %q, which isn't a field's value", line, out)
		}
		c, err := http.ParseSetCookie(out)
		if err != nil || c.Path != "/p/prices" || c.Domain != "" || hasPrefixFold(c.Name, "__host-") {
			t.Errorf("%q became %q: %+v, %v", line, out, c, err)
		}
		// Browsers take the last of several, so there must be one.
		attributes := strings.ToLower(out)
		if strings.Count(attributes, "; path=") != 1 || strings.Contains(attributes, "; domain") {
			t.Errorf("%q became %q", line, out)
		}
	})
}

func FuzzSetHeader(f *testing.F) {
	f.Add("Set-Cookie", "a=b; Path=/", "connection", "x-a")
	f.Add("sortie-error", "x", "SORTIE-Version", "1")
	f.Add("x-a", "a\r\nSet-Cookie: a=b", "x\r\ny", "b")
	f.Add("content-security-policy", "", "Clear-Site-Data", `"*"`)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		h := http.Header{"Content-Security-Policy": {sandbox}, "Sortie-Version": {"1"}, "Server-Timing": {"total"}}
		setHeader(h, "a", []fetch.Field{{Name: name1, Value: value1}, {Name: name2, Value: value2}})
		if h["Content-Security-Policy"][0] != sandbox || h["Server-Timing"][0] != "total" || len(h["Sortie-Version"]) != 1 {
			t.Errorf("ours were changed: %q", h)
		}
		for name, values := range h {
			if hopByHop[name] || originWide[name] || isOurs(name) && name != "Sortie-Version" || !httpguts.ValidHeaderFieldName(name) {
				t.Errorf("%q came through", name)
			}
			for _, v := range values {
				if !httpguts.ValidHeaderFieldValue(v) {
					t.Errorf("%q: %q came through", name, v)
				}
			}
		}
		var wire bytes.Buffer
		if err := h.Write(&wire); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, values := range h {
			lines += len(values)
		}
		if got := strings.Count(wire.String(), "\n"); got != lines {
			t.Errorf("%d values are %d lines: %q", lines, got, wire.String())
		}
	})
}

func FuzzReadUpload(f *testing.F) {
	add := func(parts ...string) {
		body, contentType := form(parts...)
		data, _ := io.ReadAll(body)
		f.Add(contentType, "", data)
	}
	add("manifest", "name: a", "wasm", "\x00asm")
	add("wasm", "\x00asm", "wasm", "")
	add("signature", "untrusted comment: x\n", "wasm", "\x00asm")
	add("wasm", "\x00asm", "signature", "", "signature", "x")
	f.Add("application/wasm", "", []byte("\x00asm"))
	f.Add("application/wasm", "dW50cnVzdGVkIGNvbW1lbnQ6IHgK", []byte("\x00asm"))
	f.Add("application/wasm", "dW50", []byte{})
	f.Add("application/wasm", "not base64", []byte("\x00asm"))
	f.Add("multipart/form-data; boundary=x", "", []byte("--x\r\nContent-Disposition: form-data; name=wasm\r\n\r\nx\r\n--x--"))
	f.Add("multipart/form-data; boundary=", "", []byte("--\r\n"))
	f.Fuzz(func(t *testing.T, contentType, header string, body []byte) {
		memory := host.NewMemory(2 << 30)
		held := &share{memory: memory}
		defer func() {
			if held.release(); memory.Used() != 0 {
				t.Errorf("%d bytes weren't given back", memory.Used())
			}
		}()
		h := http.Header{"Content-Type": {contentType}}
		if header != "" {
			h.Set(headerSignature, header)
		}
		u, err := readUpload(h, bytes.NewReader(body), int64(len(body))+1, held)
		if err != nil {
			if e := failure(err); e.Status != 400 && e.Status != 413 && e.Status != 415 {
				t.Errorf("%d %v for what the client sent", e.Status, err)
			}
			return
		}
		if got, sent := len(u.wasm)+len(u.manifest)+len(u.signature), len(body)+len(header); got > sent || len(u.signature) > signature.MaxSize {
			t.Errorf("%d bytes became %d, %d of them a signature", sent, got, len(u.signature))
		}
		// What was read can be sent again, and is the same.
		var again bytes.Buffer
		w := multipart.NewWriter(&again)
		for name, data := range map[string][]byte{"manifest": u.manifest, "wasm": u.wasm, "signature": u.signature} {
			p, _ := w.CreateFormFile(name, name)
			_, _ = p.Write(data)
		}
		_ = w.Close()
		same, err := readUpload(http.Header{"Content-Type": {w.FormDataContentType()}}, &again, 1, held)
		if err != nil || !bytes.Equal(same.wasm, u.wasm) || !bytes.Equal(same.manifest, u.manifest) || !bytes.Equal(same.signature, u.signature) {
			t.Errorf("sent again: %v", err)
		}
	})
}

func FuzzPathBelow(f *testing.F) {
	for _, target := range []string{"/p/a", "/p/a/", "/p/a/b%2Fc", "/p/a/%", "/p/a/é|", "/p/a//..", "/p/a?x", "/p/%61/x"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		raw := u.RawPath
		if raw == "" {
			raw = u.EscapedPath()
		}
		if !strings.HasPrefix(raw, "/p/") {
			return // routed elsewhere
		}
		path := pathBelow(u)
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \"<>\\^`{|}?#\x00\r\n") {
			t.Fatalf("%q: the plugin's path is %q", target, path)
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("%q: the plugin's path is %q: %v", target, path, err)
		}
		// It's the same path that net/http decoded, below the name, unless an encoded slash was in the name.
		name, _, _ := strings.Cut(strings.TrimPrefix(raw, "/p/"), "/")
		plain, err := url.PathUnescape(name)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimPrefix(u.Path, "/p/"+plain)
		if want == "" {
			want = "/"
		}
		if decoded != want {
			t.Errorf("%q: the plugin's path is %q, decoded %q, want %q", target, path, decoded, want)
		}
	})
}
