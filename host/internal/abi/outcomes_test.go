package abi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// records are what outcomes wrote at an address: index and state of each, and the body that came along.
func (m *machine) records(at, size int32) string {
	d := decoder{b: m.mem[at : at+size]}
	var all []string
	for len(d.b) > 0 && !d.bad {
		i := d.varint()
		head := decoder{b: d.view()}
		all = append(all, fmt.Sprintf("%d:%d:%s", i, head.varint(), d.view()))
	}
	if d.bad {
		m.t.Error("malformed records")
	}
	return strings.Join(all, " ")
}

// A quiet group is told of once, and then gives all its members in the order in which they settled.
func TestQuietGroup(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			<-second
			fmt.Fprint(w, "late")
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", smallBody+1))
		}
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	in := "\x01\x00\x00\x00\x03" // all settled, of three
	for _, url := range []string{srv.URL + "/late", "nonsense", srv.URL + "/long"} {
		in += string(appendString(nil, encoded(url, 0, 0)))
	}
	ptr, n := m.put(0, in)
	g := uint64(m.do("group", ptr, n))
	m.do("quiet", g)
	m.do("outcomes", g, 2000, 1000)
	m.settle(g + 3)
	close(second)
	m.settle(g)
	var events [8]uint32
	told := m.call.Handles.Events(events[:])
	for _, id := range events[:told] {
		// What settled before the group was made quiet may have been told of.
		if uint64(id) != g && uint64(id) != g+2 {
			t.Errorf("told of %d", id)
		}
	}
	m.do("outcomes", g, 2000, 10)
	size := m.quietly("outcomes", g, 2000, 1000)
	got := m.records(2000, size)
	if want := "1:3: 2:2: 0:2:late"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	m.do("outcomes", g, 2000, 1000)
	if n := m.quietly("body", g+3, 0, 2000); n != 2000 {
		t.Errorf("a long body gives %d bytes", n)
	}
	m.do("outcomes", g, 4090, 1000)
	m.do("drop", g)
	m.do("outcomes", g, 2000, 1000)
	m.do("quiet", g)
	m.traced(fmt.Sprintf(`
group[%d %d] -> 1
quiet[1] -> 0
outcomes[1 2000 1000] -> -4
outcomes[1 2000 10] -> -9
outcomes[1 2000 1000] -> 0
outcomes[1 4090 1000] -> -1
drop[1] -> 0
outcomes[1 2000 1000] -> -3
quiet[1] -> -3
`, ptr, n))
}

// Records are given whole, as many as fit, and none twice.
func TestOutcomesInParts(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "")
	const n = 5
	in := string(append([]byte{1, 0, 0, 0}, n))
	for range n {
		in += string(appendString(nil, encoded("nonsense", 0, 0)))
	}
	ptr, size := m.put(0, in)
	g := uint64(m.do("group", ptr, size))
	m.settle(g)
	one := m.quietly("outcomes", g, 2000, 300)
	first := strings.Fields(m.records(2000, one))
	if len(first) == 0 || len(first) == n {
		t.Fatalf("%d records in 300 bytes; the test wants some, not all", len(first))
	}
	seen := strings.Join(first, " ")
	for {
		more := m.quietly("outcomes", g, 2000, 300)
		if more <= 0 {
			break
		}
		seen += " " + m.records(2000, more)
	}
	if want := "0:3: 1:3: 2:3: 3:3: 4:3:"; seen != want {
		t.Errorf("got %s, want %s", seen, want)
	}
}

// A single fetch is a record of its own, and a member of a group is, too.
func TestOutcomeOfAFetch(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	ptr, n := m.put(0, encoded(srv.URL, 0, 0))
	f := uint64(m.do("send", ptr, n))
	m.settle(f)
	size := m.quietly("outcomes", f, 2000, 1000)
	if got := m.records(2000, size); got != "0:2:hello" {
		t.Error(got)
	}
	if size := m.quietly("outcomes", f, 2000, 1000); size != 0 {
		t.Errorf("given twice: %d", size)
	}
	if size := m.quietly("body", f, 2000, 1000); size != 5 {
		t.Errorf("the body that came along can't be read any more: %d", size)
	}
	if m.quietly("quiet", f) != -EBADF {
		t.Error("a fetch can be made quiet")
	}
}

// A guest that waits for a member of a quiet group is woken all the same.
func TestWaitForAQuietMember(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			<-release
		}
	}))
	defer srv.Close()
	m := newMachine(t, srv.URL)
	in := "\x01\x00\x00\x00\x02"
	for _, path := range []string{"/held", "/free"} {
		in += string(appendString(nil, encoded(srv.URL+path, 0, 0)))
	}
	ptr, n := m.put(0, in)
	g := uint64(m.do("group", ptr, n))
	m.do("quiet", g)
	m.settle(g + 2)
	close(release)
	m.settle(g + 1)
	m.settle(g)
}
