package fetch_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// seen is what an upstream saw, in order.
type seen struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func (s *seen) add(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	s.bodies = append(s.bodies, string(body))
}

func (s *seen) all() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// redirector answers /go?status=…&to=… with that redirect, and anything else with 200.
func redirector(t testing.TB) (string, *seen) {
	s := &seen{}
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		if r.URL.Path != "/go" {
			fmt.Fprint(w, "arrived")
			return
		}
		var status int
		fmt.Sscan(r.URL.Query().Get("status"), &status)
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "see elsewhere")
	})
	return up.URL, s
}

func redirectTo(base string, status int, to string) string {
	return fmt.Sprintf("%s/go?status=%d&to=%s", base, status, url.QueryEscape(to))
}

func TestRedirectMethods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status       int
		method, want string
		body         bool
	}{
		{301, "GET", "GET", false}, {301, "POST", "GET", false}, {301, "PUT", "PUT", true}, {301, "DELETE", "DELETE", false}, {301, "HEAD", "HEAD", false},
		{302, "POST", "GET", false}, {302, "PATCH", "PATCH", true},
		{303, "POST", "GET", false}, {303, "PUT", "GET", false}, {303, "DELETE", "GET", false}, {303, "HEAD", "HEAD", false}, {303, "GET", "GET", false},
		{307, "POST", "POST", true}, {307, "GET", "GET", false}, {308, "PUT", "PUT", true}, {308, "POST", "POST", true},
	} {
		t.Run(fmt.Sprint(tc.status, tc.method), func(t *testing.T) {
			t.Parallel()
			up, saw := redirector(t)
			r := &fetch.Request{Method: tc.method, URL: redirectTo(up, tc.status, "/there"), Header: fields("Content-Type", "text/x", "Content-Language", "en", "Authorization", "a", "X-Keep", "k")}
			if tc.method == "POST" || tc.method == "PUT" || tc.method == "PATCH" {
				r.Body = []byte("payload")
			}
			b := open(t, fetch.Config{}, loopback())
			resp := wantOK(t, b.do(r))
			if !resp.Redirected || resp.URL != up+"/there" || resp.Attempts != 1 {
				t.Errorf("got %+v", resp)
			}
			last := saw.all()[1]
			if last.Method != tc.want || (saw.bodies[1] == "payload") != tc.body {
				t.Errorf("saw %s with %q", last.Method, saw.bodies[1])
			}
			changed := tc.want != tc.method
			if (last.Header.Get("Content-Type") == "") != changed || (last.Header.Get("Content-Language") == "") != changed {
				t.Errorf("header %v", last.Header)
			}
			if last.Header.Get("Authorization") != "a" || last.Header.Get("X-Keep") != "k" {
				t.Errorf("header %v: the origin hasn't changed", last.Header)
			}
			if u := b.session.Usage(); u.Requests != 2 || u.Bytes != int64(len(resp.Body)) {
				t.Errorf("usage %+v", u)
			}
			if rec := b.session.Records()[0]; rec.Hops != 1 || rec.Attempts != 1 || rec.Status != 200 {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

func TestRedirectLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	there, saw := redirector(t)
	here, _ := redirector(t)
	b := open(t, fetch.Config{}, loopback())
	wantOK(t, b.do(&fetch.Request{URL: redirectTo(here, 302, there+"/x"), Header: fields("Authorization", "a", "Cookie", "c", "X-Keep", "k")}))
	got := saw.all()[0].Header
	if got.Get("Authorization") != "" || got.Get("Cookie") != "" || got.Get("X-Keep") != "k" {
		t.Errorf("another port of the same host got %v", got)
	}
}

func TestRedirectDenied(t *testing.T) {
	t.Parallel()
	there, saw := redirector(t)
	here, _ := redirector(t)
	p := loopback()
	p.Rules = []manifest.Rule{{URL: here, Private: true}, {URL: there + "/get-only", Private: true, Methods: []string{"GET"}}}
	for name, tc := range map[string]struct {
		method, to string
		code       failure.Code
	}{
		"another origin":      {"GET", there + "/", failure.HostDenied},
		"a private address":   {"GET", "http://169.254.169.254/latest/meta-data", failure.HostDenied},
		"a denied method":     {"PUT", there + "/get-only", failure.MethodDenied},
		"another scheme":      {"GET", "ftp://127.0.0.1/", failure.UnsupportedProtocol},
		"a file":              {"GET", "file:///etc/passwd", failure.UnsupportedProtocol},
		"javascript":          {"GET", "javascript:alert(1)", failure.UnsupportedProtocol},
		"no host":             {"GET", "https://:443/", failure.InvalidURL},
		"userinfo":            {"GET", strings.Replace(here, "http://", "http://a:b@", 1), failure.InvalidURL},
		"an impossible host":  {"GET", "http://999.999.999.999/", failure.InvalidURL},
		"scheme-relative":     {"GET", "//elsewhere.example/", failure.HostDenied},
		"backslashes":         {"GET", `\\elsewhere.example\`, failure.HostDenied},
		"another port of it":  {"GET", "http://127.0.0.1:1/", failure.HostDenied},
		"the dotted spelling": {"GET", "http://2130706433:1/", failure.HostDenied},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, fetch.Config{}, p)
			r := b.do(&fetch.Request{Method: tc.method, URL: redirectTo(here, 307, tc.to)})
			err := wantCode(t, r, tc.code)
			if err.Attempts != 1 || err.Retryable {
				t.Errorf("got %+v", err)
			}
			if u := b.session.Usage(); u.Requests != 1 {
				t.Errorf("usage %+v", u)
			}
			if rec := b.session.Records()[0]; rec.Hops != 0 {
				t.Errorf("record %+v: the redirect wasn't followed", rec)
			}
		})
	}
	if n := len(saw.all()); n != 0 {
		t.Errorf("the denied origin saw %d requests", n)
	}
}

func TestRedirectModesAndLimits(t *testing.T) {
	t.Parallel()
	up, saw := redirector(t)
	b := open(t, fetch.Config{}, loopback())
	url := redirectTo(up, 302, "/there")

	err := wantCode(t, b.do(&fetch.Request{URL: url, Redirect: fetch.Refuse}), failure.RedirectBlocked)
	if err.URL != url {
		t.Errorf("URL %s", err.URL)
	}
	resp := wantOK(t, b.do(&fetch.Request{URL: url, Redirect: fetch.Manual}))
	if resp.Status != 302 || header(resp, "location") != "/there" || resp.Redirected || string(resp.Body) != "see elsewhere" {
		t.Errorf("got %+v", resp)
	}
	if n := len(saw.all()); n != 2 {
		t.Errorf("%d requests", n)
	}
	resp = wantOK(t, b.do(&fetch.Request{URL: redirectTo(up, 302, "")})) // without a Location it's an answer
	if resp.Status != 302 || string(resp.Body) != "see elsewhere" {
		t.Errorf("got %+v", resp)
	}
	// To the mode that forbids redirects it is one all the same.
	wantCode(t, b.do(&fetch.Request{URL: redirectTo(up, 302, ""), Redirect: fetch.Refuse}), failure.RedirectBlocked)
	resp = wantOK(t, b.do(&fetch.Request{URL: redirectTo(up, 304, "/there")}))
	if resp.Status != 304 {
		t.Errorf("got %+v", resp)
	}
}

// TestUnwantedBodyIsNotWaitedFor: neither that of a redirect nor that of a response that is tried again.
func TestUnwantedBodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{"redirect": "302 Found\r\nLocation: /there", "retry": "503 Service Unavailable"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := serveRaw(t, func(n int, c net.Conn) {
				readHead(c)
				if n == 1 {
					io.WriteString(c, "HTTP/1.1 "+head+"\r\nContent-Length: 10\r\n\r\n")
					hang(c) // until the client has had enough
					return
				}
				io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			})
			b := open(t, fetch.Config{}, loopback())
			resp := wantOK(t, b.do(&fetch.Request{URL: up, Retry: thrice}))
			if resp.Status != 204 || resp.Elapsed > patience/2 { // the limits are patience
				t.Errorf("got %+v", resp)
			}
		})
	}
}

func TestTooManyRedirects(t *testing.T) {
	t.Parallel()
	s := &seen{}
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		s.add(r)
		http.Redirect(w, r, r.URL.Path+"a", 302)
	})
	b := open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Redirects = 3 }))
	err := wantCode(t, b.do(&fetch.Request{URL: up.URL + "/"}), failure.TooManyRedirects)
	if len(s.all()) != 4 || b.session.Usage().Requests != 4 {
		t.Errorf("%d requests, %+v", len(s.all()), b.session.Usage())
	}
	if err.URL != up.URL+"/aaa" || !strings.Contains(err.Message, "redirects is 3") {
		t.Errorf("got %+v", err)
	}

	// A chain that the budget cuts short.
	b = open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests = 2 }))
	err = wantCode(t, b.do(&fetch.Request{URL: up.URL + "/"}), failure.LimitRequests)
	if b.session.Usage().Requests != 2 || err.Attempts != 1 {
		t.Errorf("%+v, %+v", err, b.session.Usage())
	}
	if rec := b.session.Records()[0]; rec.Hops != 1 {
		t.Errorf("record %+v: the second redirect wasn't followed", rec)
	}
	// None at all.
	b = open(t, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Redirects = 0 }))
	wantCode(t, b.do(&fetch.Request{URL: up.URL + "/"}), failure.TooManyRedirects)
}

func TestTwoLocations(t *testing.T) {
	t.Parallel()
	up := answer(t, "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
	wantCode(t, open(t, fetch.Config{}, loopback()).do(&fetch.Request{URL: up}), failure.ProtocolError)
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	there, sawThere := redirector(t)
	here, sawHere := redirector(t)
	pattern, err := manifest.ParsePattern(here)
	if err != nil {
		t.Fatal(err)
	}
	p := loopback()
	p.Secrets = []fetch.Secret{{Name: "KEY", Header: "x-api-key", Value: "Bearer s3cr3t", Allow: []manifest.Pattern{pattern}}}
	b := open(t, fetch.Config{}, p)
	theirs := fields("X-Api-Key", "the guest's")

	wantOK(t, b.do(&fetch.Request{URL: redirectTo(here, 302, "/there"), Header: theirs}))
	for i, r := range sawHere.all() {
		if got := r.Header["X-Api-Key"]; len(got) != 1 || got[0] != "Bearer s3cr3t" {
			t.Errorf("hop %d: %q", i, got)
		}
	}
	// It leaves, and comes back.
	wantOK(t, b.do(&fetch.Request{URL: redirectTo(here, 302, redirectTo(there, 302, here+"/back")), Header: theirs}))
	if got := sawThere.all()[0].Header["X-Api-Key"]; got != nil {
		t.Errorf("the other origin got %q", got)
	}
	if got := sawHere.all()[3].Header.Get("X-Api-Key"); got != "Bearer s3cr3t" {
		t.Errorf("back home: %q", got)
	}
	// Where the secret isn't meant to go, the guest may send what it likes.
	wantOK(t, b.do(&fetch.Request{URL: there + "/x", Header: theirs}))
	if got := sawThere.all()[1].Header.Get("X-Api-Key"); got != "the guest's" {
		t.Errorf("elsewhere: %q", got)
	}
	for _, bad := range []fetch.Secret{{Header: "Host", Value: "x"}, {Header: "a b", Value: "x"}, {Header: "A", Value: "x\r\ny"}} {
		if _, err := b.engine.Client(fetch.Policy{Secrets: []fetch.Secret{bad}}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

// TestSecretsStayOutOfMessages: an upstream that echoes the header in a malformed response finds no way into a message.
func TestSecretsStayOutOfMessages(t *testing.T) {
	t.Parallel()
	for _, echo := range []string{"s3cr3t-value", strings.Repeat("a", 40) + "s3cr3t-value", strings.Repeat("b", 39) + "s3cr3t-values3cr3t-value"} {
		up := answer(t, "HTTP/1.1 "+echo+" is no status\r\n\r\n")
		pattern, _ := manifest.ParsePattern(up)
		p := loopback()
		p.Secrets = []fetch.Secret{{Name: "KEY", Header: "Authorization", Value: "Bearer s3cr3t-value", Allow: []manifest.Pattern{pattern}}}
		b := open(t, fetch.Config{}, p)
		err := wantCode(t, b.do(&fetch.Request{URL: up}), failure.ProtocolError)
		for _, text := range []string{err.Message, err.Error(), b.session.Records()[0].Message} {
			if strings.Contains(text, "s3cr") {
				t.Errorf("message %q", text)
			}
			if !strings.Contains(text, "[secret]") {
				t.Errorf("message %q doesn't show what was cut out", text)
			}
		}
	}
}
