package abi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// quietly calls a function without a line in the trace: how often a guest has to try is chance.
func (m *machine) quietly(name string, args ...uint64) int32 {
	before := m.trace.String()
	r := m.do(name, args...)
	m.trace.Reset()
	m.trace.WriteString(before)
	return r
}

// settle waits for a handle.
func (m *machine) settle(h uint64) {
	m.t.Helper()
	binary.LittleEndian.PutUint32(m.mem[4000:], uint32(h))
	if n := m.quietly("wait", 4000, 1, 1, uint64(10*time.Second), 4004); n != 1 {
		m.t.Fatalf("handle %d isn't ready in 10 s: %d", h, n)
	}
}

// next reads, or writes, as soon as that doesn't give EAGAIN.
func (m *machine) next(name string, h, ptr, n uint64) int32 {
	m.t.Helper()
	for {
		if r := m.quietly(name, h, ptr, n); r != -EAGAIN {
			fmt.Fprintf(&m.trace, "%s%v -> %d\n", name, []uint64{h, ptr, n}, r)
			return r
		}
		m.settle(h)
	}
}

// opened is an open fetch.
func opened(flags byte, method, url string, body ...byte) string {
	return string(flags) + string(appendString(appendString(nil, method), url)) + "\x00\x00\x00\x00\x00\x00\x00" + string(body)
}

func TestReadResponseInPieces(t *testing.T) {
	t.Parallel()
	more, gone := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
		w.(http.Flusher).Flush()
		switch r.URL.Path {
		case "/more":
			<-more
			fmt.Fprint(w, " world")
		case "/cut":
			<-more
			panic(http.ErrAbortHandler)
		case "/open":
			<-r.Context().Done()
			close(gone)
		}
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	for _, path := range []string{"/more", "/cut", "/open"} {
		ptr, n := m.put(0, opened(flagResponse, "", srv.URL+path, 0, 0))
		m.quietly("open", ptr, n)
	}
	for h := range uint64(3) {
		m.settle(h + 1)
	}
	size := m.quietly("head", 1, 2000, 1000)
	if head := string(m.mem[2000 : 2000+size]); head[:3] != "\x02\x40\xc8" || !strings.HasSuffix(head, strings.Repeat("\xff", 8)) {
		t.Errorf("head %q", head)
	}
	m.next("read", 1, 1000, 3)
	m.next("read", 1, 1003, 9)
	m.do("read", 1, 1005, 9)
	m.do("read", 1, 1005, 0)
	m.do("read_error", 1, 0, 0)
	m.do("body", 1, 0, 0)
	m.next("read", 2, 1100, 9)
	m.next("read", 3, 1200, 9)
	close(more)
	m.next("read", 1, 1005, 9)
	m.next("read", 1, 1011, 9)
	m.do("read", 1, 1011, 9)
	if got := string(m.mem[1000:1011]); got != "hello world" {
		t.Errorf("read %q", got)
	}
	m.next("read", 2, 1105, 9)
	size = m.quietly("read_error", 2, 2000, 1000)
	d := decoder{b: m.mem[2000 : 2000+size]}
	if code, message, url := d.string(), d.string(), d.string(); code != "read_error" || message == "" || url != srv.URL+"/cut" {
		t.Errorf("%s: %s (%s)", code, message, url)
	}
	if attempts, retryable := d.varint(), d.bool(); attempts != 1 || !retryable || !d.end() {
		t.Errorf("attempts %d, retryable %v", attempts, retryable)
	}
	m.do("cancel", 3)
	<-gone
	m.do("read", 3, 1205, 9)
	size = m.quietly("read_error", 3, 2000, 1000)
	if got := string(m.mem[2000 : 2000+size]); got != "\x09cancelled\x17cancelled by the plugin\x00\x00\x00" {
		t.Errorf("%q", got)
	}
	m.do("drop", 3)
	m.do("read", 3, 1205, 9)
	m.do("read_error", 3, 0, 0)
	m.do("read", 1, 4095, 2)
	m.do("read", 9, 0, 0)
	m.traced(`
read[1 1000 3] -> 3
read[1 1003 9] -> 2
read[1 1005 9] -> -4
read[1 1005 0] -> 0
read_error[1 0 0] -> -4
body[1 0 0] -> -2
read[2 1100 9] -> 5
read[3 1200 9] -> 5
read[1 1005 9] -> 6
read[1 1011 9] -> 0
read[1 1011 9] -> 0
read[2 1105 9] -> -10
cancel[3] -> 0
read[3 1205 9] -> -10
drop[3] -> 0
read[3 1205 9] -> -3
read_error[3 0 0] -> -3
read[1 4095 2] -> -1
read[9 0 0] -> -3
`)
}

func TestReadWholeBody(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	ptr, n := m.put(0, encoded(srv.URL, 0, 0))
	m.quietly("send", ptr, n)
	m.settle(1)
	m.do("read", 1, 1000, 3)
	m.do("body", 1, 1003, 9)
	m.do("read", 1, 1005, 9)
	m.traced(`
read[1 1000 3] -> 3
body[1 1003 9] -> 2
read[1 1005 9] -> 0
`)
	if got := string(m.mem[1000:1005]); got != "hello" {
		t.Error(got)
	}
}

func TestWriteRequestInPieces(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			<-read
		}
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %s %v %d", r.ContentLength, b[:min(len(b), 5)], err, len(b))
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	m.mem = make([]byte, 1<<20)
	m.call.Limits.Held = 1 << 20

	ptr, n := m.put(0, opened(flagRequest, "POST", srv.URL, 0, 5))
	m.quietly("open", ptr, n)
	m.put(1000, "hello")
	m.do("write", 1, 1000, 2)
	m.do("write", 1, 1000, 0)
	m.do("write", 1, 1002, 3)
	m.do("finish", 1)
	m.do("finish", 1)
	m.do("write", 1, 1000, 1)
	m.settle(1)
	size := m.do("body", 1, 2000, 100)
	if got := string(m.mem[2000 : 2000+size]); got != "5 hello <nil> 5" {
		t.Error(got)
	}
	m.traced(`
write[1 1000 2] -> 2
write[1 1000 0] -> 0
write[1 1002 3] -> 3
finish[1] -> 0
finish[1] -> 0
write[1 1000 1] -> -11
body[1 2000 100] -> 15
`)

	// What the upstream doesn't read stays with the guest, but for 64 KiB and what the sockets take.
	m.trace.Reset()
	ptr, n = m.put(0, opened(flagRequest, "POST", srv.URL+"/late", 0, 0))
	m.do("open", ptr, n)
	if first := m.do("write", 2, 1000, 1000<<10); first != guest.StreamSize {
		t.Errorf("took %d at once", first)
	}
	close(read)
	m.next("write", 2, 1000, 10)
	m.do("finish", 2)
	m.settle(2)
	size = m.quietly("body", 2, 2000, 100)
	if got := string(m.mem[2000 : 2000+size]); got != "-1 hello <nil> 65546" {
		t.Error(got)
	}
	if m.do("write", 9, 0, 0) != -EBADF || m.do("finish", 9) != -EBADF || m.do("write", 2, 1<<20, 1) != -EFAULT {
		t.Error("a bad handle or range was taken")
	}

	// One that is given up.
	ptr, n = m.put(0, opened(flagRequest, "POST", srv.URL, 0, 0))
	h := uint64(m.do("open", ptr, n))
	m.do("cancel", h)
	m.settle(h)
	if got := m.do("write", h, 1000, 5); got != -EPIPE {
		t.Errorf("a write to a cancelled fetch gives %d", got)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	stream := opened(flagRequest, "", "http://a/", 0, 0)
	for name, tc := range map[string]struct {
		function, in string
		want         int32
	}{
		"empty":               {"open", "", -EINVAL},
		"flag 4":              {"open", opened(4, "", "http://a/", 0, 0), -EINVAL},
		"no flags":            {"open", opened(0, "", "http://a/", 0, 0), 1},
		"cut":                 {"open", opened(1, "", "http://a/", 0), -EINVAL},
		"body and a stream":   {"open", opened(2, "", "http://a/", 1, 1), -EINVAL},
		"body outside":        {"open", opened(1, "", "http://a/", 0x50, 0, 1), -EFAULT},
		"bad member":          {"open_group", "\x00\x00\x00\x00\x01" + string(appendString(nil, opened(4, "", "u", 0, 0))), -EINVAL},
		"streams over limits": {"open", stream, -E2BIG},
	} {
		m.call.Limits.Held = guest.StreamSize - 1
		ptr, n := m.put(0, tc.in)
		if got := m.do(tc.function, ptr, n); got != tc.want && (tc.want < 0 || got < 0) {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if m.do("open", 4000, 97) != -EFAULT || m.do("open_group", 4000, 97) != -EFAULT || m.do("begin", 4000, 97) != -EFAULT {
		t.Error("a bad range was taken")
	}
}

func TestOpenGroup(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path)
		w.(http.Flusher).Flush()
		<-release
		fmt.Fprint(w, "!")
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	in := "\x01\x00\x00\x00\x02"
	for _, path := range []string{"/a", "/b"} {
		in += string(appendString(nil, opened(flagResponse, "", srv.URL+path, 0, 0)))
	}
	ptr, n := m.put(0, in)
	g := uint64(m.do("open_group", ptr, n))
	m.settle(g) // with the heads; the bodies are still to come
	for i, want := range []string{"/a", "/b"} {
		size := m.next("read", g+1+uint64(i), 1000, 10)
		if got := string(m.mem[1000 : 1000+size]); got != want {
			t.Errorf("member %d: %q", i, got)
		}
	}
	close(release)
	for i := range uint64(2) {
		if m.next("read", g+1+i, 1000, 10) != 1 || m.next("read", g+1+i, 1000, 10) != 0 {
			t.Errorf("member %d doesn't end well", i)
		}
	}
	if m.do("read", g, 0, 0) != -EBADF || m.do("read_error", g, 0, 0) != -EBADF {
		t.Error("a group can be read")
	}
}

func TestRequestInPieces(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	from, to := io.Pipe()
	m.call.Request = guest.Request{Method: "PUT", Path: "/", Source: from, Length: -1}
	size := m.do("request", 0, 100)
	if got := string(m.mem[:size]); got != "\x03PUT\x01/\x00\x00\x00\x00"+strings.Repeat("\xff", 8)+"\x00" {
		t.Errorf("head %q", got)
	}
	m.do("stream_request")
	m.do("read_request", 1000, 3)
	m.do("open_request")
	m.do("open_request")
	m.do("read", 1, 1000, 3)
	fmt.Fprint(to, "hello")
	m.settle(1)
	var told [2]uint32
	if n := m.call.Handles.Events(told[:]); n != 1 || told[0] != 1 {
		t.Errorf("told %v, %d times", told, n)
	}
	m.do("read", 1, 1000, 3)
	m.do("read_request", 1003, 9)
	to.CloseWithError(errors.New("broken off"))
	m.next("read", 1, 1005, 9)
	m.do("read_request", 1005, 9)
	size = m.do("read_error", 1, 2000, 1000)
	if got := string(m.mem[2000:2011]); got != "\x0aread_error" {
		t.Errorf("%q", m.mem[2000:2000+size])
	}
	m.do("cancel", 1)
	m.do("drop", 1)
	m.traced(`
request[0 100] -> 19
stream_request[] -> -7
read_request[1000 3] -> -4
open_request[] -> 1
open_request[] -> -7
read[1 1000 3] -> -4
read[1 1000 3] -> 3
read_request[1003 9] -> 2
read[1 1005 9] -> -10
read_request[1005 9] -> -10
read_error[1 2000 1000] -> 47
cancel[1] -> 0
drop[1] -> 0
`)
	if got := string(m.mem[1000:1005]); got != "hello" {
		t.Error(got)
	}
	if m.call.Received() != 5 || m.call.RequestError == nil {
		t.Errorf("received %d, %v", m.call.Received(), m.call.RequestError)
	}
	m.call.Session.Close()
	m.call.Handles.Close()
}

func TestRequestNobodyReads(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	m.call.Request.Body = []byte("whole")
	m.do("open_request")
	m.do("read", 1, 1000, 3)
	m.do("read_request", 1003, 9)
	m.do("read", 1, 1000, 3)
	m.do("read_error", 1, 0, 0)
	m.do("head", 1, 0, 0)
	m.traced(`
open_request[] -> 1
read[1 1000 3] -> 3
read_request[1003 9] -> 2
read[1 1000 3] -> 0
read_error[1 0 0] -> -4
head[1 0 0] -> -3
`)
	m = newMachine(t, "")
	from, to := io.Pipe()
	m.call.Request.Source = from
	m.do("open_request")
	m.do("drop", 1)
	m.call.Session.Close()
	m.call.Handles.Close() // returns although nobody has sent anything
	if _, err := fmt.Fprint(to, "x"); err == nil {
		t.Error("the request's body wasn't closed")
	}
}

func TestRespondInPieces(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	m.call.Until = time.Now().Add(time.Hour)
	var begun *guest.Response
	m.call.OnBegin = func(r *guest.Response) { begun = r }
	ptr, n := m.put(0, "\x40\xc9\x05\x01a\x02bc")
	if m.do("begin", ptr, n-1) != -EINVAL || m.do("begin", ptr, n+1) != -EINVAL {
		t.Error("a malformed head was taken")
	}
	m.trace.Reset()
	m.do("begin", ptr, n)
	if got := fmt.Sprintf("%d %v", begun.Status, begun.Header); got != "201 [{a bc}]" {
		t.Error(got)
	}
	m.do("begin", ptr, n)
	m.do("respond", ptr, n)
	m.put(1000, "hello, world")
	m.do("write", 1, 1000, 5)
	m.do("read", 1, 0, 0)
	m.do("read_error", 1, 0, 0)
	m.do("head", 1, 0, 0)
	m.do("cancel", 1)
	m.do("drop", 1)
	m.do("write", 1, 1005, 4) // one more than the limit has left
	m.traced(`
begin[0 8] -> 1
begin[0 8] -> -7
respond[0 8] -> -2
write[1 1000 5] -> 5
read[1 0 0] -> -3
read_error[1 0 0] -> -3
head[1 0 0] -> -3
cancel[1] -> -2
drop[1] -> -2
write[1 1005 4] -> -9
`)
	if m.call.OverLimit != "limit_output" || m.call.Written() != 5 {
		t.Errorf("over %q, written %d", m.call.OverLimit, m.call.Written())
	}
	var got strings.Builder
	m.do("finish", 1)
	if err := begun.Stream.Drain(func(b []byte) error { got.Write(b); return nil }); err != nil || got.String() != "hello" {
		t.Errorf("drained %q, %v", got.String(), err)
	}
	if m.do("write", 1, 1000, 1) != -EPIPE {
		t.Error("written after finish")
	}
	f := m.fn["time_left"]
	stack := []uint64{0}
	if f.Do(m.call, stack); int64(stack[0]) < int64(59*time.Minute) || int64(stack[0]) > int64(time.Hour) {
		t.Errorf("time left %v", time.Duration(stack[0]))
	}
	m.call.Until = time.Time{}
	if f.Do(m.call, stack); int64(stack[0]) != -1 {
		t.Errorf("time left %v", time.Duration(stack[0]))
	}
}

func TestStreamRequestIsAskedForInInitialisation(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	m.call.Session, m.call = nil, &guest.Call{Log: guest.NewLog(1), Memory: m.call.Memory}
	if m.do("stream_request") != 0 || !m.call.StreamsRequest {
		t.Error("not taken")
	}
	if m.do("open_request") != -ECANCELED || m.do("begin", 0, 0) != -ECANCELED || m.do("open", 0, 0) != -ECANCELED {
		t.Error("something begins before there is an invocation")
	}
}
