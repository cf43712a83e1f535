package abi

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine calls the ABI's functions as a guest would, over a memory of its own, and keeps a trace of the calls.
type machine struct {
	t     *testing.T
	call  *guest.Call
	mem   []byte
	fn    map[string]guest.Func
	trace strings.Builder
}

// newMachine starts an invocation whose policy allows url alone.
func newMachine(t *testing.T, url string) *machine {
	t.Helper()
	engine := fetch.New(fetch.Config{})
	t.Cleanup(engine.Close)
	policy := fetch.Policy{Private: []string{"http://127.0.0.1:*"}}
	if url != "" {
		pattern, err := manifest.ParsePattern(url)
		if err != nil {
			t.Fatal(err)
		}
		policy.Rules = []manifest.Rule{{URL: url, Private: true, Pattern: pattern}}
	}
	client, err := engine.Client(policy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	config, err := guest.NewConfig(map[string]any{"region": "eu", "n": 7})
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, mem: make([]byte, 4096), fn: map[string]guest.Func{}}
	m.call = &guest.Call{
		Session: client.Session(ctx), Config: config, Log: guest.NewLog(1 << 10), Memory: func() []byte { return m.mem },
		Limits: guest.Limits{Output: 8, RequestBytes: 1 << 10, Held: 2 << 10},
	}
	m.call.Handles.Init()
	m.call.Start(ctx)
	t.Cleanup(m.call.Session.Close)
	for _, f := range Functions() {
		m.fn[f.Name] = f
	}
	return m
}

// do calls a function and notes it as a guest's author would: name(arguments) -> result.
func (m *machine) do(name string, args ...uint64) int32 {
	f := m.fn[name]
	if len(args) != len(f.Params) {
		m.t.Fatalf("%s takes %d arguments", name, len(f.Params))
	}
	stack := append(make([]uint64, 0, len(args)+1), args...)[:max(len(args), len(f.Results))]
	f.Do(m.call, stack)
	r := int32(stack[0])
	fmt.Fprintf(&m.trace, "%s%v -> %d\n", name, args, r)
	return r
}

// put writes at an address and returns address and length as arguments.
func (m *machine) put(at uint64, b string) (ptr, n uint64) {
	copy(m.mem[at:], b)
	return at, uint64(len(b))
}

func (m *machine) traced(want string) {
	m.t.Helper()
	if got := m.trace.String(); got != strings.TrimLeft(want, "\n") {
		m.t.Errorf("trace:\n%swant:%s", got, want)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	m.call.Start(context.Background()) // no deadline: no time left to tell
	m.call.Request = guest.Request{
		Method: "PUT", Path: "/a%2Fb", RawQuery: "q=1", Host: "h", RemoteAddr: "r", Body: []byte("body"),
		Header: http.Header{"X-B": {"1", "2"}, "Accept": {"*"}},
	}
	want := "\x03PUT\x06/a%2Fb\x03q=1\x01h\x01r" + "\x15\x06accept\x01*\x03x-b\x011\x03x-b\x012" + "\x04\x00"
	m.do("request", 16, 4) // too small: nothing is written
	m.do("request", 16, 4096-16)
	if got := string(m.mem[16 : 16+len(want)]); got != want {
		t.Errorf("head\n%q, want\n%q", got, want)
	}
	m.do("read_request", 0, 3)
	m.do("read_request", 3, 3)
	m.do("read_request", 6, 3)
	if got := string(m.mem[:4]); got != "body" {
		t.Errorf("body %q", got)
	}
	m.do("request", 4095, 2)
	m.do("read_request", 1<<32-1, 1<<32-1)
	m.traced(`
request[16 4] -> 43
request[16 4080] -> 43
read_request[0 3] -> 3
read_request[3 3] -> 1
read_request[6 3] -> 0
request[4095 2] -> -1
read_request[4294967295 4294967295] -> -1
`)
}

func TestRespond(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		head string
		want int32
		over string
	}{
		"whole":               {"\x40\xc9" + "\x05\x01a\x02bc" + "\x00\x03", 0, ""},
		"status 0 is 200":     {"\x00\x00\x00\x00", 0, ""},
		"status 199":          {"\x40\xc7\x00\x00\x00", -EINVAL, ""},
		"status 600":          {"\x42\x58\x00\x00\x00", -EINVAL, ""},
		"bytes left over":     {"\x00\x00\x00\x00\x00", -EINVAL, ""},
		"cut":                 {"\x00\x00\x00", -EINVAL, ""},
		"field section cut":   {"\x00\x05\x01a", -EINVAL, ""},
		"bad field name":      {"\x00\x05\x01 \x02bc\x00\x00", -EINVAL, ""},
		"line break in value": {"\x00\x05\x01a\x02b\n\x00\x00", -EINVAL, ""},
		"body outside":        {"\x00\x00\x50\x00\x01", -EFAULT, ""},
		"body over the limit": {"\x00\x00\x00\x09", -E2BIG, "limit_output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "")
			m.put(0, "xyz")
			ptr, n := m.put(100, tc.head)
			if got := m.do("respond", ptr, n); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
			if m.call.OverLimit != tc.over || (m.call.Response != nil) != (tc.want == 0) {
				t.Errorf("over limit %q, response %v", m.call.OverLimit, m.call.Response)
			}
			if r := m.call.Response; r != nil && m.do("respond", ptr, n) != -EALREADY {
				t.Error("a second response was taken")
			}
		})
	}
	m := newMachine(t, "")
	m.put(0, "xyz")
	ptr, n := m.put(100, "\x40\xc9\x05\x01a\x02bc\x00\x03")
	m.do("respond", ptr, n)
	m.put(0, "XYZ") // the body was copied
	if got := fmt.Sprintf("%d %v %s", m.call.Response.Status, m.call.Response.Header, m.call.Response.Body); got != "201 [{a bc}] xyz" {
		t.Error(got)
	}
}

func TestConfigLogFail(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	key, n := m.put(0, "region")
	m.do("config", key, n, 100, 50)
	if got := string(m.mem[100:104]); got != `"eu"` {
		t.Error(got)
	}
	m.do("config", 0, 0, 100, 50)
	if got := string(m.mem[100:119]); got != `{"n":7,"region":"eu` {
		t.Error(got)
	}
	m.do("config", 0, 3, 100, 50)
	m.do("config", 4095, 9, 100, 50)
	line, n := m.put(200, "it \xff rains")
	m.do("log", 4, line, n)
	m.do("log", 4, line, 1<<20)
	m.do("fail", line, n)
	m.do("fail", 4096, 1)
	m.traced(`
config[0 6 100 50] -> 4
config[0 0 100 50] -> 21
config[0 3 100 50] -> -6
config[4095 9 100 50] -> -1
log[4 200 10] -> 0
log[4 200 1048576] -> -1
fail[200 10] -> 0
fail[4096 1] -> -1
`)
	lines := m.call.Log.Lines()
	if len(lines) != 1 || lines[0].Message != "it \uFFFD rains" || lines[0].Level.String() != "WARN" {
		t.Errorf("log %v", lines)
	}
	if m.call.Failure != "it \uFFFD rains" {
		t.Errorf("failure %q", m.call.Failure)
	}
}

// encoded is a fetch as host/ABI.md has it, with all else left at its default.
func encoded(url string, body ...byte) string {
	return string(appendString([]byte{0}, url)) + "\x00\x00\x00\x00\x00\x00\x00" + string(body)
}

func TestFetch(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("X-Echo", r.Method)
		fmt.Fprint(w, "hello")
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	ptr, n := m.put(0, encoded(srv.URL+"/x", 0, 0))
	h := uint64(m.do("send", ptr, n))
	binary.LittleEndian.PutUint32(m.mem[1000:], uint32(h))
	if m.do("wait", 1000, 1, 1, ^uint64(0), 1004) != 1 {
		t.Fatal("not settled")
	}
	size := m.do("head", h, 2000, 1000)
	head := m.mem[2000 : 2000+size]
	d := decoder{b: head}
	state, status, url, redirected, attempts, elapsed := d.varint(), d.varint(), d.string(), d.bool(), d.varint(), d.varint()
	fields, length := d.fields(), d.varint()
	if !d.end() || state != 2 || status != 200 || url != srv.URL+"/x" || redirected || attempts != 1 || elapsed == 0 || length != 5 {
		t.Errorf("head %q", head)
	}
	if len(fields) == 0 || fields[len(fields)-1] != (fetch.Field{Name: "x-echo", Value: "GET"}) {
		t.Errorf("fields %v", fields)
	}
	m.do("body", h, 3000, 3)
	m.do("body", h, 3003, 3)
	m.do("body", h, 3006, 3)
	if got := string(m.mem[3000:3005]); got != "hello" {
		t.Error(got)
	}
	if m.do("drop", h) != 0 || m.do("head", h, 0, 0) != -EBADF || m.do("body", h, 0, 0) != -EBADF || m.do("cancel", h) != -EBADF {
		t.Error("a dropped handle is known")
	}
	if m.do("wait", 1000, 1, 1, ^uint64(0), 1004) != 1 {
		t.Error("an unknown handle is waited for")
	}
}

func TestDeniedFetchIsAHandle(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	ptr, n := m.put(0, encoded("https://example.com/", 0, 0))
	h := uint64(m.do("send", ptr, n))
	binary.LittleEndian.PutUint32(m.mem[1000:], uint32(h))
	m.do("wait", 1000, 1, 0, ^uint64(0), 1004)
	size := m.do("head", h, 2000, 1000)
	d := decoder{b: m.mem[2000 : 2000+size]}
	if state, code := d.varint(), d.string(); state != 3 || code != "host_denied" {
		t.Errorf("state %d, code %s", state, code)
	}
}

func TestFetchErrors(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	for name, tc := range map[string]struct {
		function string
		in       string
		want     int32
	}{
		"empty":            {"send", "", -EINVAL},
		"cut":              {"send", encoded("http://a/", 0), -EINVAL},
		"left over":        {"send", encoded("http://a/", 0, 0, 0), -EINVAL},
		"body outside":     {"send", encoded("http://a/", 0x50, 0, 1), -EFAULT},
		"redirect 3":       {"send", "\x00\x01u\x00\x00\x00\x00\x03\x00\x00\x00\x00", -EINVAL},
		"retry 2":          {"send", "\x00\x01u\x00\x00\x00\x00\x00\x00\x02\x00\x00", -EINVAL},
		"mode 5":           {"group", "\x05\x00\x00\x00\x01" + string(appendString(nil, encoded("u", 0, 0))), -EINVAL},
		"empty group":      {"group", "\x00\x00\x00\x00\x00", -EINVAL},
		"quorum of 2 in 1": {"group", "\x04\x02\x00\x00\x01" + string(appendString(nil, encoded("u", 0, 0))), -EINVAL},
		"bad member":       {"group", "\x00\x00\x00\x00\x01\x01\x00", -EINVAL},
		"member missing":   {"group", "\x00\x00\x00\x00\x02" + string(appendString(nil, encoded("u", 0, 0))), -EINVAL},
	} {
		ptr, n := m.put(0, tc.in)
		if got := m.do(tc.function, ptr, n); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if m.do("send", 4000, 97) != -EFAULT || m.do("group", 4000, 97) != -EFAULT || m.do("wait", 4000, 100, 0, 0, 0) != -EFAULT ||
		m.do("wait", 0, 1<<17, 0, 0, 0) != -EINVAL || m.do("wait", 0, 1, 2, 0, 0) != -EINVAL {
		t.Error("a bad range was taken")
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	defer srv.Close()
	defer close(release)
	m := newMachine(t, srv.URL)
	in := "\x02\x00\x00\x00\x02" // any of two
	for _, path := range []string{"/slow", "/fast"} {
		in += string(appendString(nil, encoded(srv.URL+path, 0, 0)))
	}
	ptr, n := m.put(0, in)
	g := uint64(m.do("group", ptr, n))
	binary.LittleEndian.PutUint32(m.mem[1000:], uint32(g))
	m.do("wait", 1000, 1, 1, ^uint64(0), 1004)
	for i, want := range []string{"4", "2"} {
		size := m.do("head", g+1+uint64(i), 2000, 1000)
		d := decoder{b: m.mem[2000 : 2000+size]}
		if got := fmt.Sprint(d.varint()); got != want {
			t.Errorf("member %d has state %s, want %s", i, got, want)
		}
	}
	if m.do("head", g, 0, 0) != -EBADF || m.do("cancel", g+1) != 0 || m.do("cancel", g) != 0 {
		t.Error("group handle and members answer wrongly")
	}
	var events [8]uint32
	if n := m.call.Handles.Events(events[:]); n != 3 {
		t.Errorf("%d events, want one for each member and the group", n)
	}
	if m.do("drop", g) != 0 || m.do("head", g+2, 0, 0) != -EBADF {
		t.Error("dropping the group keeps its members")
	}
}

// All members of a group may name the same bytes: what the host would copy is bounded.
func TestHeldBodies(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	one := encoded("http://a/", 0, 0x44, 0) // a body of 1 KiB at 0
	in := "\x01\x00\x00\x00"
	for _, tc := range []struct {
		n    int
		want bool
	}{{2, true}, {3, false}, {2, true}} {
		group := in + string(rune(tc.n)) + strings.Repeat(string(appendString(nil, one)), tc.n)
		ptr, n := m.put(2048, group)
		if got := m.do("group", ptr, n); (got > 0) != tc.want || got < 0 && got != -E2BIG {
			t.Errorf("%d members: %d", tc.n, got)
		}
		// Denied, they settle at once and give back what they held.
	}
	over := encoded("http://a/", 0, 0x44, 1) // over request_bytes: not copied, refused by the engine
	for range 5 {
		ptr, n := m.put(2048, over)
		if got := m.do("send", ptr, n); got <= 0 {
			t.Errorf("send: %d", got)
		}
	}
}

func TestTooManyHandles(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	ptr, n := m.put(0, encoded("ftp://x/", 0, 0))
	for i := range guest.MaxHandles {
		if got := m.do("send", ptr, n); got <= 0 {
			t.Fatalf("send %d: %d", i, got)
		}
		m.trace.Reset()
	}
	if got := m.do("send", ptr, n); got != -EMFILE {
		t.Errorf("%d", got)
	}
	m.do("drop", 1)
	if got := m.do("send", ptr, n); got <= 0 {
		t.Errorf("after drop: %d", got)
	}
}
