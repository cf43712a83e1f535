package fetch_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestExchangesOfAFetch: every attempt and every hop is on the record, with its phases.
func TestExchangesOfAFetch(t *testing.T) {
	t.Parallel()
	n := 0
	up, trust := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		switch n++; {
		case r.URL.Path == "/start":
			http.Redirect(w, r, "/end", 302)
		case n == 2:
			w.WriteHeader(503)
		default:
			time.Sleep(300 * time.Millisecond)
			fmt.Fprint(w, "arrived")
		}
	})
	b := open(t, fetch.Config{TLS: trust}, loopback())
	wantOK(t, b.do(&fetch.Request{URL: up.URL + "/start", Retry: &fetch.Retry{Attempts: 2, Backoff: time.Millisecond}}))
	x := b.session.Records()[0].Exchanges
	if len(x) != 3 {
		t.Fatalf("%d exchanges", len(x))
	}
	for i, want := range []struct {
		path                 string
		attempt, hop, status int
		reused               bool
	}{{"/start", 1, 0, 302, false}, {"/end", 1, 1, 503, true}, {"/end", 2, 1, 200, true}} {
		got := x[i]
		if got.URL != up.URL+want.path || got.Attempt != want.attempt || got.Hop != want.hop || got.Status != want.status || got.Reused != want.reused {
			t.Errorf("exchange %d: %+v", i, got)
		}
		if got.Protocol != "HTTP/2.0" || got.Method != "GET" || got.Rule != "https://127.0.0.1:*" {
			t.Errorf("exchange %d: %+v", i, got)
		}
		p := got.Phases
		if opened := p.Connect >= 0 && p.TLS > 0; opened == want.reused {
			t.Errorf("exchange %d was on a connection of its own: %v; phases %+v", i, opened, p)
		}
		if p.DNS >= 0 {
			t.Errorf("exchange %d: an address was looked up: %+v", i, p)
		}
		sum := time.Duration(0)
		for _, d := range []time.Duration{p.Blocked, p.DNS, p.Connect, p.TLS, p.Send, p.Wait, p.Receive} {
			sum += max(d, 0)
		}
		if p.Send < 0 || p.Wait < 0 || p.Receive < 0 || sum != got.Elapsed {
			t.Errorf("exchange %d: phases %+v are %s, not %s", i, p, sum, got.Elapsed)
		}
	}
	if x[2].Phases.Wait < 150*time.Millisecond { // on a busy machine it's seen late that all was sent
		t.Errorf("the upstream thought for 300 ms, not %s", x[2].Phases.Wait)
	}
	if x[2].Received != 7 || x[2].Decoded != 7 {
		t.Errorf("received %d, decoded %d", x[2].Received, x[2].Decoded)
	}
}

func TestExchangeOnTheWire(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	b := open(t, fetch.Config{}, loopback())
	wantOK(t, b.do(&fetch.Request{Method: "POST", URL: strings.Replace(answer(t, head+"hi"), "127.0.0.1", "up.test", 1), Body: []byte("body")}))
	x := b.session.Records()[0].Exchanges[0]
	if x.Received != int64(len(head)+2) || x.Sent < int64(len("POST / HTTP/1.1\r\n\r\nbody")) || x.Decoded != 2 {
		t.Errorf("sent %d, received %d, decoded %d", x.Sent, x.Received, x.Decoded)
	}
	if x.Phases.DNS < 0 || x.Phases.Connect < 0 || x.Phases.TLS >= 0 || x.Protocol != "HTTP/1.1" {
		t.Errorf("%+v", x)
	}
}

// TestExchangesThatFail: what was never sent is on the record too, with why.
func TestExchangesThatFail(t *testing.T) {
	t.Parallel()
	b := open(t, fetch.Config{Resolver: resolver{}}, withLimits(func(l *manifest.FetchLimits) { l.ReadTimeout = short }))
	stalled := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, c := range []struct {
		url    string
		code   failure.Code
		phases func(p fetch.Phases) bool
	}{
		{"http://nowhere.test/", failure.DNSError, func(p fetch.Phases) bool { return p.DNS >= 0 && p.Connect < 0 && p.Send < 0 }},
		{"http://127.0.0.1:1/", failure.ConnectError, func(p fetch.Phases) bool { return p.Connect >= 0 && p.Send < 0 }},
		{stalled.URL, failure.ReadTimeout, func(p fetch.Phases) bool { return p.Send >= 0 && p.Wait > 0 && p.Receive < 0 }},
	} {
		wantCode(t, b.do(&fetch.Request{URL: c.url}), c.code)
		records := b.session.Records()
		x := records[len(records)-1].Exchanges
		if len(x) != 1 || x[0].Code != c.code || !c.phases(x[0].Phases) {
			t.Errorf("%s: %+v", c.url, x)
		}
	}
	wantCode(t, b.do(&fetch.Request{URL: "http://elsewhere.example/"}), failure.HostDenied)
	if r := b.session.Records()[3]; len(r.Exchanges) != 0 || r.Code != failure.HostDenied {
		t.Errorf("%+v", r)
	}
}

// TestRecordsHideCredentials: neither the guest's nor the operator's are in what a report shows, be it in a header that was sent or in one
// that sends them back, or in the URL of a hop.
func TestRecordsHideCredentials(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Set-Cookie", "sid=COOKIE")
			w.Header().Set("X-Echo", r.Header.Get("X-Key")+" "+r.Header.Get("Accept"))
			w.Header().Set("X-Own", r.Header.Get("Authorization")+" "+r.Header.Get("Cookie"))
			w.Header().Set("Location", "/next?key="+r.Header.Get("X-Key")+"&own="+url.QueryEscape(r.Header.Get("Api-Key")))
			w.WriteHeader(302)
		}
	})
	p := loopback()
	pattern, err := manifest.ParsePattern(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Secrets = []fetch.Secret{{Name: "KEY", Header: "X-Key", Value: "SECRET", Allow: []manifest.Pattern{pattern}}}
	b := open(t, fetch.Config{}, p)
	wantOK(t, b.do(&fetch.Request{URL: up.URL, Header: []fetch.Field{
		{Name: "Authorization", Value: "Bearer TOKEN-of-some-length"}, {Name: "Cookie", Value: "own=MINE-of-some-length"}, {Name: "Api-Key", Value: "GUESTS+own/key=="},
	}}))
	records := b.session.Records()
	text, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(text) + fmt.Sprintf("%+v", records)
	for _, hidden := range []string{"SECRET", "TOKEN", "MINE", "COOKIE", "GUESTS"} {
		if strings.Contains(shown, hidden) {
			t.Errorf("%s is in the records", hidden)
		}
	}
	for _, kept := range []string{"{Name:x-echo Value:[secret] */*}", "{Name:authorization Value:[redacted]}", "{Name:x-key Value:[redacted]}", "{Name:set-cookie Value:[redacted]}", "/next?key=[secret]&own=[redacted]", "{Name:api-key Value:[redacted]}"} {
		if !strings.Contains(shown, kept) {
			t.Errorf("%s is not in the records: %s", kept, shown)
		}
	}
}

// TestRecordsHideUserinfo: a URL that is refused for the credentials in it is on record without them, in whatever spelling.
func TestRecordsHideUserinfo(t *testing.T) {
	t.Parallel()
	b := open(t, fetch.Config{}, loopback())
	for url, want := range map[string]string{
		"http://me:hunter2@up.test/a@b":      "http://[redacted]@up.test/a@b",
		"http://me@x:hunter2@up.test":        "http://[redacted]@up.test",
		`http:\\\me:hunter2@up.test\`:        `http:\\\[redacted]@up.test\`,
		"http:me:hunter2@up.test/":           "http:[redacted]@up.test/",
		"//me:hunter2@up.test?a@b":           "//[redacted]@up.test?a@b",
		"http://up.test/@me?mail=me@up.test": "http://up.test/@me?mail=me@up.test",
	} {
		b.do(&fetch.Request{URL: url})
		records := b.session.Records()
		if got := records[len(records)-1].URL; got != want {
			t.Errorf("%s is on record as %s", url, got)
		}
	}
	if text, err := json.Marshal(b.session.Records()); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("the password is in the report: %s", text)
	}
}

// TestRecordsAreBounded: the headers that records hold on to don't grow with the number of fetches.
func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 100<<10)) })
	b := open(t, fetch.Config{}, loopback())
	for range 20 {
		wantOK(t, b.do(&fetch.Request{URL: up.URL}))
	}
	kept := 0
	for _, r := range b.session.Records() {
		for _, f := range r.Exchanges[0].ResponseHeader {
			kept += len(f.Value)
		}
	}
	if kept == 0 || kept > 1<<20 {
		t.Errorf("%d bytes of headers are kept", kept)
	}
}
