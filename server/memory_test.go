package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/sortie-run/sortie/host"
)

// posting sends the head of a request, and as much of its body.
func (s *testServer) posting(head string, announced int, body string) net.Conn {
	s.t.Helper()
	conn := s.dial()
	s.t.Cleanup(func() { _ = conn.Close() })
	_, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/wasm\r\nContent-Length: %d\r\n\r\n%s",
		head, announced, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// allGivenBack checks that nothing is held when nobody is there.
func (s *testServer) allGivenBack() {
	s.t.Helper()
	synctest.Wait()
	if n := s.memory.Used(); n != 0 {
		s.t.Errorf("%d bytes are held by nobody", n)
	}
}

func wantOverloaded(t *testing.T, a answer) {
	t.Helper()
	wantProblem(t, a, 503, "overloaded")
	if a.Header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
}

// TestUnfinishedBodies has clients announce much and send little: only what they sent is held, and it's held for nobody else.
func TestUnfinishedBodies(t *testing.T) {
	t.Parallel()
	const sent = 40 << 10 // held in a buffer of 64 KiB
	synctest.Test(t, func(t *testing.T) {
		s := start(t, says("hello"), options{listener: newPipes(), operator: "process: {memory: 256KiB}"})
		s.deployed("a", "", "one", "")
		s.allGivenBack()
		for _, head := range []string{"POST /p/a", "PUT /v1/plugins/b"} {
			var clients []net.Conn
			for i := range 10 {
				clients = append(clients, s.posting(head, 1<<20, "x"))
				synctest.Wait()
				if got, want := s.memory.Used(), int64((i+1)*bodyStart); got != want {
					t.Fatalf("%s: %d bytes are held for %d clients that sent one each, want %d", head, got, i+1, want)
				}
			}
			for _, conn := range clients {
				_ = conn.Close()
			}
			s.allGivenBack()

			clients = nil
			for range 3 {
				clients = append(clients, s.posting(head, 1<<20, strings.Repeat("x", sent)))
			}
			synctest.Wait()
			if got := s.memory.Used(); got < 3*sent || got > 256<<10 {
				t.Errorf("%s: %d bytes are held, for bodies of %d", head, got, 3*sent)
			}
			body := strings.NewReader(strings.Repeat("x", 100<<10))
			wantOverloaded(t, s.send("POST", "/p/a", body))
			wantOverloaded(t, s.send("PUT", "/v1/plugins/c", strings.NewReader(strings.Repeat("x", 100<<10)), "Content-Type", "application/wasm"))
			if a := s.get("/p/a"); a.body != "hello" {
				t.Errorf("%s: while bodies are under way, a call without one = %d %q", head, a.StatusCode, a.body)
			}
			for _, conn := range clients {
				_ = conn.Close()
			}
			s.allGivenBack()
		}
		if a := s.send("POST", "/p/a", strings.NewReader(strings.Repeat("x", 100<<10))); a.StatusCode != 200 {
			t.Errorf("once there is room: %d %s", a.StatusCode, a.body)
		}
	})
}

// TestUnreadAnswers has clients that don't read their answer: it's held until they do, and the next has no room.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 64<<10)
		s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
			body := []byte(large)
			return &host.Response{Status: 200, Body: body[:len(body):len(body)]}, nil
		}, options{listener: newPipes(), operator: "process: {memory: 160KiB}"})
		s.deployed("a", "", "one", "")
		var clients []net.Conn
		for range 2 {
			clients = append(clients, s.posting("POST /p/a", 1, "x"))
		}
		synctest.Wait()
		if got, want := s.memory.Used(), int64(2*len(large)); got != want {
			t.Errorf("%d bytes are held for two answers, want %d", got, want)
		}
		refused := s.get("/p/a")
		wantOverloaded(t, refused)
		if refused.Header.Get("Server-Timing") == "" || !strings.Contains(s.log.String(), `"code":"overloaded"`) {
			t.Errorf("the answer that was replaced has the header %v, and the log is %s", refused.Header, s.log)
		}
		for _, conn := range clients {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || string(body) != large {
				t.Errorf("read at last: %d bytes, %v", len(body), err)
			}
		}
		s.allGivenBack()
		if a := s.get("/p/a"); a.body != large {
			t.Errorf("once there is room: %d, %d bytes", a.StatusCode, len(a.body))
		}
	})
}

// TestGivenBack ends requests in every way there is.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(ctx context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
			switch r.Path {
			case "/panic":
				panic("at the disco")
			case "/error":
				return nil, errors.New("broken")
			case "/status":
				return &host.Response{Status: 99, Body: r.Body}, nil
			case "/204":
				return &host.Response{Status: 204, Body: r.Body}, nil
			case "/gone":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &host.Response{Status: 200, Body: r.Body}, nil
		}, options{listener: newPipes(), operator: "process: {memory: 256KiB}"})
		s.deployed("a", "limits: {input: 100KiB}", "one", "")
		body := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
		for path, status := range map[string]int{"/": 200, "/panic": 500, "/error": 500, "/status": 500, "/204": 204} {
			for range 10 {
				if a := s.send("POST", "/p/a"+path, body(50<<10)); a.StatusCode != status {
					t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
				}
				s.allGivenBack()
			}
		}
		for want, a := range map[int]answer{
			413: s.send("POST", "/p/a", io.MultiReader(body(100<<10+1))),
			200: s.send("HEAD", "/p/a", body(1)),
			503: s.send("PUT", "/v1/plugins/a", body(200<<10), "Content-Type", "application/wasm"),
			201: s.send("PUT", "/v1/plugins/a", body(50<<10), "Content-Type", "application/wasm"),
			422: s.send("PUT", "/v1/plugins/a", strings.NewReader("bad"), "Content-Type", "application/wasm"),
			415: s.send("PUT", "/v1/plugins/a", body(1)),
		} {
			if a.StatusCode != want {
				t.Errorf("%s: %d %s, want %d", a.Request.Method, a.StatusCode, a.body, want)
			}
		}
		s.allGivenBack()
		for _, conn := range []net.Conn{
			s.posting("POST /p/a/gone", 40<<10, strings.Repeat("x", 40<<10)), // while the guest runs
			s.posting("POST /p/a/", 40<<10, strings.Repeat("x", 40<<10)),     // while the answer is sent
			s.posting("POST /p/a/", 40<<10, "x"),                             // while the body is read
		} {
			synctest.Wait()
			if s.memory.Used() == 0 {
				t.Error("nothing is held while a request is under way")
			}
			_ = conn.Close()
		}
		s.allGivenBack()
	})
}

// TestPartHead sends the head of a part without an end, which no buffer of ours would count.
func TestPartHead(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	head := "--x\r\nContent-Disposition: form-data; name=wasm\r\nX-Long: "
	a := s.send("PUT", "/v1/plugins/a", strings.NewReader(head+strings.Repeat("x", maxPartHead)+"\r\n\r\none\r\n--x--\r\n"),
		"Content-Type", "multipart/form-data; boundary=x")
	wantProblem(t, a, 400, "bad_request")
	cut := "--x\r\nContent-Disposition: form-data; name=wasm\r\n\r\none\r\n--x\r"
	a = s.send("PUT", "/v1/plugins/a", strings.NewReader(cut), "Content-Type", "multipart/form-data; boundary=x")
	wantProblem(t, a, 400, "bad_request") // cut off after the module: there may have been a manifest
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, bodyStart - 1, bodyStart, bodyStart + 1, 5*bodyStart + 7} {
		want := bytes.Repeat([]byte("x"), n)
		for _, expected := range []int64{1, int64(n) + 1, 1 << 30} { // more came, as much, and less
			m := host.NewMemory(1 << 20)
			held := &share{memory: m}
			got, err := held.readAll(iotest.OneByteReader(bytes.NewReader(want)), expected)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d, %v", n, len(got), err)
			}
			if used := m.Used(); used != int64(cap(got)) || used > max(bodyStart, 2*int64(n)) || expected == int64(n)+1 && used != expected {
				t.Errorf("%d bytes, %d expected: %d are held for a buffer of %d", n, expected, used, cap(got))
			}
			held.release()
			held.release()
			if m.Used() != 0 {
				t.Errorf("%d bytes are left", m.Used())
			}
		}
	}
	broken := errors.New("broken")
	m := host.NewMemory(1 << 20)
	if _, err := (&share{memory: m}).readAll(iotest.ErrReader(broken), 10); !errors.Is(err, broken) {
		t.Errorf("reading what's broken: %v", err)
	}
}

// TestMemoryIsNeverExceeded has many take and give at once.
func TestMemoryIsNeverExceeded(t *testing.T) {
	t.Parallel()
	m := host.NewMemory(100)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			held := &share{memory: m}
			defer held.release()
			for n := range int64(1000) {
				before := held.bytes
				if err := held.resize(n % 60); err != nil && held.bytes != before {
					t.Errorf("a share that got no more has %d bytes, had %d", held.bytes, before)
				}
				if used := m.Used(); used > 100 || used < 0 {
					t.Errorf("%d bytes of 100 are taken", used)
				}
			}
		})
	}
	group.Wait()
	if m.Used() != 0 {
		t.Errorf("%d bytes are left", m.Used())
	}
}
