package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host"
)

// logging answers, and logs the path's words as lines.
func logging(r *host.Report) {
	path, err := url.PathUnescape(strings.TrimPrefix(r.Path, "/"))
	if err != nil {
		panic(err)
	}
	for _, word := range strings.Fields(strings.ReplaceAll(path, "/", " ")) {
		r.Logs = append(r.Logs, host.LogLine{Time: time.Now(), Level: "info", Message: word})
	}
}

// event is a server-sent one.
type event struct{ name, id, data string }

// stream is an event stream that is being read.
type stream struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
	comments int
	cancel   context.CancelFunc
}

// followAs follows with a token.
func (s *testServer) followAs(token string) *stream {
	s.t.Helper()
	other := *s
	other.token = token
	return other.follow("", "")
}

func (s *testServer) follow(query, lastSeen string) *stream {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/plugins/a/logs?follow=true"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if lastSeen != "" {
		r.Header.Set("Last-Event-ID", lastSeen)
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if s.pipes != nil {
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return s.pipes.dial(), nil }
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cancel(); response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	return &stream{t: s.t, response: response, lines: bufio.NewScanner(response.Body), cancel: cancel}
}

// next waits for an event; the zero one is the stream's end.
func (s *stream) next() (e event) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch {
		case name == "event":
			e.name = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data = value
		case strings.HasPrefix(s.lines.Text(), ":"):
			s.comments++
		case s.lines.Text() == "" && e.data != "":
			return e
		}
	}
	return event{}
}

// messages reads so many lines.
func (s *stream) messages(n int) (text, last string) {
	s.t.Helper()
	var words []string
	for range n {
		e := s.next()
		var line LogLine
		if e.name != "" || json.Unmarshal([]byte(e.data), &line) != nil || line.Invocation == "" || line.Version != 1 || line.Level != "info" {
			s.t.Fatalf("after %q: %+v", words, e)
		}
		words, last = append(words, line.Message), e.id
	}
	return strings.Join(words, " "), last
}

func TestLogs(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{record: logging})
	s.deployed("a", "", "one", "")
	read := func(query string) string {
		t.Helper()
		a := s.get("/v1/plugins/a/logs" + query)
		var list LogList
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.StatusCode != 200 || list.Name != "a" || list.Lines == nil {
			t.Fatalf("%s: %d %s", query, a.StatusCode, a.body)
		}
		var words []string
		for _, line := range list.Lines {
			words = append(words, line.Message)
		}
		return strings.Join(words, " ")
	}
	if got := read(""); got != "" {
		t.Errorf("got %q", got)
	}
	s.get("/p/a/one/two")
	id := s.get("/p/a/three").Header.Get("Sortie-Invocation")
	for query, want := range map[string]string{
		"": "one two three", "?limit=2": "two three", "?limit=0": "", "?limit=1000000": "one two three", "?follow=false": "one two three",
	} {
		if got := read(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if a := s.get("/v1/plugins/a/logs?limit=1"); !strings.Contains(a.body, `"level":"info","message":"three","invocation":"`+id+`","version":1}`) {
		t.Errorf("got %s", a.body)
	}
	for _, query := range []string{"?limit=-1", "?limit=x", "?limit=", "?limit=1&limit=2", "?follow=yes", "?follow=true&follow=true", "?limit=99999999999999999999"} {
		wantProblem(t, s.get("/v1/plugins/a/logs"+query), 400, "bad_request")
	}
	wantProblem(t, s.get("/v1/plugins/b/logs"), 404, "plugin_not_found")
	wantProblem(t, s.get("/v1/plugins/b/logs?follow=true"), 404, "plugin_not_found")
	s.send(http.MethodDelete, "/v1/plugins/a", nil)
	wantProblem(t, s.get("/v1/plugins/a/logs"), 404, "plugin_not_found")
	s.deployed("a", "", "one", "")
	if got := read(""); got != "" {
		t.Errorf("the deleted plugin's lines are there: %q", got)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{record: logging})
	s.deployed("a", "", "one", "")
	s.get("/p/a/one/two/three")
	f := s.follow("&limit=2", "")
	if got, _ := f.messages(2); got != "two three" {
		t.Errorf("got %q", got)
	}
	s.get("/p/a/four")
	got, last := f.messages(1)
	if got != "four" {
		t.Errorf("got %q", got)
	}
	// The connection breaks; what comes meanwhile comes afterwards, whatever the limit.
	f.cancel()
	s.get("/p/a/five/six/seven")
	f = s.follow("&limit=1", last)
	if got, _ := f.messages(3); got != "five six seven" {
		t.Errorf("resumed: %q", got)
	}
	// What isn't an id of this log counts for nothing.
	for _, id := range []string{"x", "0-1", "zzzzzzzz-3", last + "0", "-1", last[:logIDLength] + "-0", "-", "\t"} {
		f := s.follow("&limit=1", id)
		if got, _ := f.messages(1); got != "seven" {
			t.Errorf("after %q: %q", id, got)
		}
		f.cancel()
	}
	// Only what is new.
	fresh := s.follow("&limit=0", "")
	s.get("/p/a/eight")
	if got, _ := fresh.messages(1); got != "eight" {
		t.Errorf("got %q", got)
	}
	if got, _ := f.messages(1); got != "eight" {
		t.Errorf("got %q", got)
	}
	// The plugin goes, and its followers with it.
	s.send(http.MethodDelete, "/v1/plugins/a", nil)
	for _, f := range []*stream{f, fresh} {
		if e := f.next(); e.name != "end" || e.data != `{"reason":"removed"}` || f.next() != (event{}) {
			t.Errorf("got %+v", e)
		}
	}
	// Its successor numbers its lines anew.
	s.deployed("a", "", "one", "")
	s.get("/p/a/nine/ten")
	f = s.follow("", last)
	if got, _ := f.messages(2); got != "nine ten" {
		t.Errorf("got %q", got)
	}
	f.cancel()
	eventually(t, "all have left", func() bool {
		s.logs.mu.Lock()
		defer s.logs.mu.Unlock()
		return s.logs.followers == 0 && len(s.logs.journals["a"].followers) == 0
	})
}

// TestFollowUntilDrained: what was running when the drain began is still told.
func TestFollowUntilDrained(t *testing.T) {
	t.Parallel()
	running, end := make(chan struct{}), make(chan struct{})
	s := start(t, func(context.Context, host.Source, *host.Request) (*host.Response, error) {
		running <- struct{}{}
		<-end
		return &host.Response{Status: 200}, nil
	}, options{record: logging})
	s.deployed("a", "", "one", "")
	f := s.follow("", "")
	called, drained := make(chan struct{}), make(chan error)
	go func() { s.get("/p/a/last"); close(called) }()
	<-running
	go func() { drained <- s.Drain(t.Context()) }()
	eventually(t, "draining", s.running.isClosed)
	wantProblem(t, s.get("/v1/plugins/a/logs?follow=true"), 503, "draining")
	close(end)
	<-called
	if got, _ := f.messages(1); got != "last" {
		t.Errorf("got %q", got)
	}
	if e := f.next(); e.name != "end" || e.data != `{"reason":"draining"}` || f.next() != (event{}) {
		t.Errorf("got %+v", e)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestFollowerThatNeverReads holds up nobody, is given up, and learns of the gap if it reads in time.
func TestFollowerThatNeverReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, says(""), options{record: func(r *host.Report) {
			for range 100 {
				r.Logs = append(r.Logs, host.LogLine{Time: time.Now(), Level: "info", Message: strings.Repeat("x", 200)})
			}
		}, listener: newPipes()})
		s.deployed("a", "", "one", "")
		slow := s.posting("GET /v1/plugins/a/logs?follow=true", 0, "") // reads no byte
		late := s.follow("", "")
		begun := time.Now()
		for range 30 {
			if a := s.get("/p/a"); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
		}
		if took := time.Since(begun); took != 0 { // the bubble's clock only moves when all are waiting
			t.Errorf("the invocations were held up for %v", took)
		}
		dropped, lines, next := 0, 0, int64(1)
		for dropped+lines < 3000 {
			e := late.next()
			if e.name == "dropped" {
				var gap struct{ Lines int }
				if err := json.Unmarshal([]byte(e.data), &gap); err != nil || gap.Lines <= 0 {
					t.Fatalf("%+v", e)
				}
				dropped += gap.Lines
				next += int64(gap.Lines)
				continue
			}
			if _, n, ok := parseEventID(e.id); !ok || n != next {
				t.Fatalf("line %d is %+v", next, e)
			}
			next++
			lines++
		}
		if dropped == 0 || dropped+lines != 3000 {
			t.Errorf("%d lines came, %d were dropped", lines, dropped)
		}
		// A heartbeat now and then.
		go func() { time.Sleep(3*heartbeatTime + time.Second); s.get("/p/a") }()
		if e := late.next(); late.comments != 3 || e.id == "" {
			t.Errorf("%d heartbeats, then %+v", late.comments, e)
		}
		s.logs.mu.Lock()
		if s.logs.followers != 1 {
			t.Errorf("%d followers, one of which has read nothing for %v", s.logs.followers, time.Since(begun))
		}
		s.logs.mu.Unlock()
		late.cancel()
		_ = slow.Close()
		synctest.Wait()
	})
}

func TestFollowersAreBounded(t *testing.T) {
	t.Parallel()
	l := newLogs(func(string) bool { return true })
	for range maxFollowers {
		if _, err := l.follow("a", "", 1); err != nil {
			t.Fatal(err)
		}
	}
	f, err := l.follow("b", "", 1)
	if e := new(host.Error); err == nil || failure(err).Code != host.CodeOverloaded {
		t.Errorf("%v, %v, %v", f, err, e)
	}
}

// TestLogBounds: a plugin's lines, and all of them, take only so much.
func TestLogBounds(t *testing.T) {
	t.Parallel()
	l := newLogs(func(string) bool { return true })
	add := func(plugin string, n, size int) {
		lines := make([]host.LogLine, n)
		for i := range lines {
			lines[i] = host.LogLine{Level: "info", Message: strings.Repeat("é", size/2)}
		}
		l.add(&version{plugin: plugin}, "id", lines)
	}
	f, err := l.follow("a", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	add("a", 5000, 0)
	if got := len(l.recent("a", 1<<30)); got != pluginLogLines {
		t.Errorf("%d lines", got)
	}
	if b := f.read(); b.dropped != 4000 || b.first != 4001 {
		t.Errorf("%d are said to be dropped, the first is %d", b.dropped, b.first)
	}
	// Who comes back too late is told as well.
	late, err := l.follow("a", eventID(l.journals["a"].id, 17), 0)
	if err != nil {
		t.Fatal(err)
	}
	if b := late.read(); b.dropped != 3983 || b.first != 4001 {
		t.Errorf("%d are said to be dropped, the first is %d", b.dropped, b.first)
	}
	add("a", 1, 1<<20)
	if lines := l.recent("a", 1); len(lines[0].Message) != logLine+len("…") || strings.Contains(lines[0].Message, "\uFFFD") {
		t.Errorf("a line of %d bytes", len(lines[0].Message))
	}
	for n := range 300 {
		plugin := fmt.Sprint("p", n)
		add(plugin, 100, 10_000)
		if s := l.lines.owners[plugin]; s.held > pluginLogBytes || len(s.items) < 2 {
			t.Fatalf("%d bytes in %d lines", s.held, len(s.items))
		}
		if l.lines.used > logBytes {
			t.Fatalf("%d bytes", l.lines.used)
		}
	}
	if len(l.recent("p0", 10)) == 0 {
		t.Error("a quiet plugin has lost all")
	}
}

func FuzzEventID(f *testing.F) {
	f.Add("0123abcd-1")
	f.Add("0123abcd--1")
	f.Add("-9223372036854775808")
	f.Fuzz(func(t *testing.T, text string) {
		l := newLogs(func(string) bool { return true })
		l.add(&version{plugin: "a"}, "id", make([]host.LogLine, 3))
		own := l.journals["a"].id
		for _, seen := range []string{text, own + text, own + "-" + text} {
			follower, err := l.follow("a", seen, 2)
			if err != nil {
				t.Fatal(err)
			}
			b := follower.read()
			if b.dropped != 0 || len(b.lines) > 3 || b.first < 1 || b.first > 4 || b.first+int64(len(b.lines)) != 4 {
				t.Errorf("after %q: %+v", seen, b)
			}
			follower.leave()
		}
	})
}

func FuzzLogQuery(f *testing.F) {
	f.Add("limit=5&follow=1")
	f.Add("limit=%31&limit&follow=T")
	f.Fuzz(func(t *testing.T, raw string) {
		query, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		limit, _, err := logQuery(query)
		if err == nil && limit < 0 || err != nil && failure(err).Code != codeBadRequest {
			t.Errorf("%q: %d, %v", raw, limit, err)
		}
	})
}

// TestFollowingEndsWithTheToken revokes the token of somebody who follows a log.
func TestFollowingEndsWithTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, says(""), options{token: "geheim", record: logging, listener: newPipes()})
		s.deployed("a", "", "one", "")
		reader, id := s.newToken(`{"role":"read","expires":"1h"}`)
		follow := s.followAs(reader)
		s.get("/p/a/hello")
		if text, _ := follow.messages(1); text != "hello" {
			t.Errorf("the first line is %q", text)
		}
		if a := s.send("DELETE", "/v1/tokens/"+id, nil); a.StatusCode != 204 {
			t.Fatal(a.body)
		}
		if e := follow.next(); e.name != "end" || e.data != `{"reason":"unauthorized"}` {
			t.Errorf("after the token was revoked: %+v", e)
		}
		if e := follow.next(); e != (event{}) {
			t.Errorf("after the end: %+v", e)
		}
	})
}
