package dial

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://p": "http://p:80", "https://u:hunter2@p": "https://p:443", "socks5://[::1]": "socks5://[::1]:1080", "http://p:3128/": "http://p:3128",
		"HTTP://Proxy.Corp:1": "http://proxy.corp:1", "http://p.:65535": "http://p.:65535", "http://my_proxy:80": "http://my_proxy:80",
		"http://127.0.0.1:3128": "http://127.0.0.1:3128", "https://[2001:db8::1]:8443": "https://[2001:db8::1]:8443",
		"http://[fe80::1%25eth0]:1": "http://[fe80::1%eth0]:1", "http://bücher.example": "http://xn--bcher-kva.example:80",
		"http://us%40er:hun%3Ater2@p": "http://p:80", "http://:hunter2@p": "http://p:80", "http://hunter2@p": "http://p:80",
		"socks5://hunter2@p": "socks5://p:1080", "socks5://u:" + strings.Repeat("x", 255) + "@p": "socks5://p:1080",
	} {
		p, err := ParseProxy(text, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, verb := range []string{"%v", "%+v", "%s"} {
			if got := fmt.Sprintf(verb, p); got != want {
				t.Errorf("%q as %s is %s, want %s", text, verb, got, want)
			}
		}
		if got := fmt.Sprintf("%#v", p); strings.Contains(got, "ter2") {
			t.Errorf("%q as %%#v is %s", text, got)
		}
		if p.tls != nil != (p.scheme == "https") {
			t.Errorf("%q: TLS %v", text, p.tls)
		}
	}
}

// TestParseProxyRefuses: and repeats nothing of what it read, since people forget where the password goes.
func TestParseProxyRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "scheme", "p": "scheme", "ftp://hunter2:hunter2@p": "scheme", "socks4://hunter2@p": "scheme", "socks5h://hunter2@p": "scheme",
		"p:3128": "scheme", "hunter2:hunter2@p": "scheme", "//hunter2@p": "scheme",
		"http://": "host", "http:p": "host", "http://:80": "host", "http://hunter2@": "host", "http://a..b": "host", "http://*.p": "host", "http://\xbc0": "host",
		"http://[127.0.0.1]": "host", "http://[v1.x]": "host", "http://hunter2@-.p:1": "", "http://" + strings.Repeat("x", 64): "host",
		"http://hunter2/x": "nothing after", "http://p//": "nothing after", "http://p?": "nothing after", "http://p?hunter2": "nothing after",
		"http://u:hunter2@p#": "nothing after", "http://u:hunter2@p#x": "nothing after", "http://u:12/hunter2@p": "nothing after",
		"http://p:": "port", "http://p:0": "port", "http://p:65536": "port", "http://p:99999999999999999999": "port",
		"http://u:hunter2@[": "URL", "http://p:http": "URL", "http://u:hunter2@p q": "URL", "http://u:hun/ter2@p": "URL", "http://hunter2@p\n": "URL",
		"http://u:%hunter2@p":   "URL",
		"http://@p":             "empty",
		"http://:@p":            "empty",
		"http://hun%3ater2:x@p": "colon", "http://u:hunter2%0d%0aX:%20y@p": "control", "socks5://u:hunter2%00@p": "control",
		"socks5://:hunter2@p": "SOCKS", "socks5://u:hunter2" + strings.Repeat("x", 255) + "@p": "SOCKS",
		"socks5://hunter2" + strings.Repeat("x", 255) + ":x@p": "SOCKS",
	} {
		p, err := ParseProxy(text, nil)
		switch {
		case want == "" && err == nil: // a name that no DNS has; looking it up fails
		case err == nil:
			t.Errorf("%q is taken as %s", text, p)
		case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "ter2"):
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestProxyTLS: what of a configuration counts.
func TestProxyTLS(t *testing.T) {
	t.Parallel()
	given := &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}, ServerName: "other", Certificates: make([]tls.Certificate, 1),
		KeyLogWriter: new(bytes.Buffer),
	}
	p, err := ParseProxy("https://proxy.corp.:8443", given)
	if err != nil {
		t.Fatal(err)
	}
	if p.tls.InsecureSkipVerify || p.tls.MinVersion != tls.VersionTLS12 || p.tls.NextProtos != nil || p.tls.ServerName != "proxy.corp" ||
		len(p.tls.Certificates) != 1 || p.tls.KeyLogWriter != nil {
		t.Errorf("%+v", p.tls)
	}
	if !given.InsecureSkipVerify || given.ServerName != "other" {
		t.Error("the caller's was changed")
	}
	if p, err = ParseProxy("https://[fe80::1%25lo]", &tls.Config{MinVersion: tls.VersionTLS13}); err != nil || p.tls.MinVersion != tls.VersionTLS13 || p.tls.ServerName != "fe80::1" {
		t.Errorf("%+v, %v", p, err)
	}
}

// page is a connection that keeps what is written and has an answer.
type page struct {
	net.Conn
	sent   bytes.Buffer
	answer *strings.Reader
}

func (p *page) Write(b []byte) (int, error) { return p.sent.Write(b) }
func (p *page) Read(b []byte) (int, error)  { return p.answer.Read(b) }

// FuzzParseProxy: what is taken is shown without credentials and sent as it was meant; what isn't is not repeated.
func FuzzParseProxy(f *testing.F) {
	for _, text := range []string{
		"http://p", "https://u:hunter2@proxy.example:3128/", "socks5://[::1]", "http://us%40er:p%0d%0aX:y@p", "u:p@h", "http://[fe80::1%25%0a]:1",
		"http://bücher.example", "http://u:p/w@h", "http://h?", "http://%3a:x@h:00080",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProxy(text, nil)
		if err != nil {
			if len(text) > 24 && strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		u, err := url.Parse(strings.ReplaceAll(p.String(), "%", "%25"))
		if err != nil || u.User != nil || u.Host == "" || u.Path != "" {
			t.Fatalf("%q is shown as %q: %v", text, p, err)
		}
		if again, err := ParseProxy(u.String(), nil); err != nil || again.String() != p.String() {
			t.Errorf("%q is %s, and again %v, %v", text, p, again, err)
		}
		conn := &page{answer: strings.NewReader("HTTP/1.1 200 Fine\r\n\r\n")}
		if _, fault := p.connect(conn, mustAddrPort("[2001:db8::1]:443")); fault != nil {
			t.Fatal(fault)
		}
		if p.scheme == "socks5" {
			return
		}
		r := bufio.NewReader(&conn.sent)
		req, err := http.ReadRequest(r)
		if err != nil || r.Buffered() != 0 {
			t.Fatalf("%q sends more than a request: %v", text, err)
		}
		want := 0
		if p.user != nil {
			want = 1
			req.Header.Set("Authorization", req.Header.Get("Proxy-Authorization"))
			user, password, _ := req.BasicAuth()
			if meant, _ := p.user.Password(); user != p.user.Username() || password != meant {
				t.Errorf("%q sends %q and %q", text, user, password)
			}
			req.Header.Del("Authorization")
		}
		if len(req.Header) != want || req.Host != "[2001:db8::1]:443" || req.RequestURI != req.Host {
			t.Errorf("%q sends %s %v", text, req.RequestURI, req.Header)
		}
	})
}
