package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	read := func(text string) string {
		r, heard := newEventReader(strings.NewReader(text), func() {}), ""
		for {
			e, err := r.next()
			if err != nil {
				return heard + err.Error()
			}
			heard += fmt.Sprintf("%s/%s/%s ", e.name, e.id, e.data)
		}
	}
	for text, want := range map[string]string{
		"":                                   "unexpected EOF",
		"data: a\n":                          "unexpected EOF",
		"data: a\n\n":                        "//a unexpected EOF",
		": hi\n\nretry: 5\n\ndata:a\r\n\r\n": "//a unexpected EOF",
		"id: 1\ndata: a\n\ndata: b\n\n":      "/1/a /1/b unexpected EOF",
		"event: x\ndata: a\ndata: b\n\n":     "x//a\nb unexpected EOF",
		"event: x\n\ndata: b\n\n":            "//b unexpected EOF",
		"id: a b\ndata: a\n\n":               "//a unexpected EOF",
		"id: \x1b\ndata: a\n\n":              "//a unexpected EOF",
		"data\ndata\n\n":                     "//\n unexpected EOF",
		"data: " + strings.Repeat("x", maxEventLine):                              "an event's line has more than 262144 bytes",
		strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 300) + "\ndata:x": "an event has more than 262144 bytes",
	} {
		if got := read(text); got != want {
			t.Errorf("%.60q: %.100q, want %q", text, got, want)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("id: 1\nevent: x\ndata: {}\n\n: c\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := newEventReader(bytes.NewReader(text), func() {})
		size := 0
		for {
			e, err := r.next()
			if err != nil {
				return
			}
			if size += len(e.data); size > len(text) || !sendable(e.id) {
				t.Fatalf("%q: %+v", text, e)
			}
		}
	})
}

// TestFollowAgain breaks a followed log in every way, and has it go on where it was.
func TestFollowAgain(t *testing.T) {
	t.Parallel()
	line := func(w io.Writer, id, message string) {
		text, _ := json.Marshal(message)
		fmt.Fprintf(w, "id: %s\ndata: {\"time\":\"2026-02-03T04:05:06.789Z\",\"level\":\"info\",\"message\":%s,\"invocation\":\"i\",\"version\":1}\n\n", id, text)
		w.(http.Flusher).Flush()
	}
	var calls atomic.Int32
	server := client(t, func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		if want := map[int32]string{1: "", 2: "a-1"}[min(n, 2)]; n <= 5 && r.Header.Get("Last-Event-ID") != want || r.Header.Get("Authorization") == "" {
			t.Errorf("call %d: %v", n, r.Header)
		}
		if n == 3 { // not a good moment
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(503)
			_, _ = io.WriteString(w, `{"code":"draining","detail":"Come back."}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		switch n {
		case 1:
			line(w, "a-1", "one\x1b[2J\ntwo")
			panic(http.ErrAbortHandler)
		case 2:
			fmt.Fprint(w, ": nothing\n\n")
		case 4:
			panic(http.ErrAbortHandler)
		case 5:
			fmt.Fprint(w, "event: dropped\ndata: {\"lines\":7}\n\n")
			line(w, "a-9", "three")
			fmt.Fprint(w, "event: new\ndata: of a later server\n\nevent: end\ndata: {\"reason\":\"draining\"}\n\n")
		case 6:
			if got := r.Header.Get("Last-Event-ID"); got != "a-9" {
				t.Errorf("resumed after %q", got)
			}
			fmt.Fprint(w, "event: end\ndata: {\"reason\":\"removed\"}\n\n")
		}
	})
	var out, notes bytes.Buffer
	f := &following{app: &app{stdout: &out, stderr: &notes}, server: server, name: "prices", silence: time.Minute, first: time.Millisecond, pause: time.Millisecond}
	if err := f.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "2026-02-03T04:05:06.789Z info  i one·[2J\\ntwo\n2026-02-03T04:05:06.789Z info  i three\n"; got != want {
		t.Errorf("got %q", got)
	}
	said := notes.String()
	for _, part := range []string{"broke: unexpected EOF; trying again in 1ms\n", "draining", "in 4ms", "7 lines were forgotten", "prices was removed\n"} {
		if !strings.Contains(said, part) {
			t.Errorf("%q isn't in %q", part, said)
		}
	}
	if calls.Load() != 6 || strings.Count(said, "trying again") != 5 {
		t.Errorf("%d calls: %s", calls.Load(), said)
	}
}

func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	const gone = `{"code":"plugin_not_found","detail":"There is no plugin."}`
	var calls atomic.Int32
	server := client(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 2 {
			w.Header().Set("Content-Type", "text/event-stream")
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, gone)
	})
	a := &app{stdout: io.Discard, stderr: io.Discard}
	// At once, and when it was there and isn't any more.
	for range 2 {
		f := &following{app: a, server: server, name: "prices", silence: time.Minute, pause: time.Millisecond}
		if err := f.run(t.Context()); err == nil || !strings.Contains(err.Error(), "plugin_not_found") {
			t.Errorf("got %v", err)
		}
	}
	if calls.Load() != 3 {
		t.Errorf("%d calls", calls.Load())
	}
	// Nobody reads what is printed.
	server = client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {}\n\n")
	})
	a.stdout = failing{}
	if err := a.followLogs(t.Context(), server, "prices", logOptions{}); err == nil || err.Error() != "closed pipe" {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("closed pipe") }

// TestFollowInterrupted: the end that a person wants is a good one, wherever it comes.
func TestFollowInterrupted(t *testing.T) {
	t.Parallel()
	connected := make(chan struct{}, 1)
	for name, handler := range map[string]http.HandlerFunc{
		"reading": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			connected <- struct{}{}
			<-r.Context().Done()
		},
		"waiting for an answer": func(_ http.ResponseWriter, r *http.Request) {
			connected <- struct{}{}
			<-r.Context().Done()
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-connected; cancel() }()
		var notes bytes.Buffer
		a := &app{stdout: io.Discard, stderr: &notes}
		if err := a.followLogs(ctx, client(t, handler), "prices", logOptions{}); err != nil || notes.Len() > 0 {
			t.Errorf("%s: %v, said %q", name, err, &notes)
		}
	}
}

// TestFollowSilence: a connection that is dead without having been closed is given up.
func TestFollowSilence(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if calls.Add(1) == 1 {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, "event: end\ndata: {\"reason\":\"removed\"}\n\n")
	})
	var notes bytes.Buffer
	f := &following{app: &app{stderr: &notes}, server: server, name: "prices", silence: 2 * time.Second, pause: time.Millisecond}
	if err := f.run(t.Context()); err != nil || !strings.Contains(notes.String(), "has said nothing for 2s; trying again in 1ms\n") {
		t.Errorf("%v, said %q", err, &notes)
	}
}
