package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host"
)

// reading reads so many bytes at a time, with pauses, until no more come. It returns how many came.
func reading(r io.Reader, size int, pause time.Duration) (total int) {
	for buffer := make([]byte, size); ; time.Sleep(pause) {
		n, err := io.ReadFull(r, buffer)
		total += n
		if err != nil {
			return total
		}
	}
}

func TestSlowReaders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		size   int // of what is read at a time
		pause  time.Duration
		whole  bool
		length int           // of the answer
		within time.Duration // until the answer isn't held any more
	}{
		{"nothing", 1, time.Hour, false, 1 << 20, bodyIdle + time.Second},
		{"now and then", 32 << 10, 10 * time.Second, false, 8 << 20, bodyGrace + 10*time.Second},
		{"just too slow", 60 << 10, time.Second, false, 64 << 20, 20 * time.Minute},
		{"slowly", 66 << 10, time.Second, true, 8 << 20, 5 * time.Minute},
		{"small and slowly", 4 << 10, time.Second, true, 64 << 10, 20 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(context.Context, host.Source, *host.Request) (*host.Response, error) {
					return &host.Response{Status: 200, Body: make([]byte, test.length)}, nil
				}, options{listener: newPipes()})
				s.deployed("a", "", "one", "")
				conn := s.posting("GET /p/a", 0, "")
				r := bufio.NewReaderSize(conn, 16)
				response, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				var client sync.WaitGroup
				defer client.Wait()
				client.Go(func() {
					if n := reading(response.Body, test.size, test.pause); (n == test.length) != test.whole {
						t.Errorf("%d bytes of %d came", n, test.length)
					}
				})
				for s.memory.Used() != 0 {
					time.Sleep(time.Second)
				}
				if held := time.Since(begun); held > test.within {
					t.Errorf("the answer was held for %v, want %v at most", held, test.within)
				}
			})
		})
	}
}

func TestSlowBodies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		first  int // sent at once
		size   int // then, at a time
		pause  time.Duration
		within time.Duration // until it's refused; 0: it isn't
	}{
		{"nothing more", 100 << 10, 0, 0, bodyIdle},
		{"a byte now and then", 1, 1, time.Second, bodyGrace},
		{"too slowly", 1 << 20, 8 << 10, time.Second, bodyGrace + 30*time.Second},
		{"steadily", 1, 64 << 10, time.Second, 0},
	}
	const length = 3 << 20
	for _, test := range tests {
		for _, head := range []string{"POST /p/a", "PUT /v1/plugins/b"} {
			t.Run(test.name+" "+head, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := start(t, says(""), options{listener: newPipes(), operator: "defaults: {limits: {wall: 300s, input: 4MiB}}"})
					s.deployed("a", "", "one", "")
					begun := time.Now()
					conn := s.posting(head, length, strings.Repeat("x", test.first))
					var client sync.WaitGroup
					defer client.Wait()
					defer conn.Close()
					client.Go(func() { dribble(conn, length-test.first, test.size, test.pause) })
					response, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(response.Body)
					if err != nil {
						t.Fatal(err)
					}
					took, a := time.Since(begun), answer{response, string(body)}
					if test.within == 0 {
						if a.StatusCode > 299 {
							t.Errorf("%d %s after %v", a.StatusCode, body, took)
						}
						return
					}
					wantProblem(t, a, 504, "limit_wall")
					if took > test.within {
						t.Errorf("refused after %v, want %v at most", took, test.within)
					}
					_ = conn.Close()
					s.allGivenBack()
				})
			})
		}
	}
}

// dribble sends so many bytes more, a few at a time, as long as someone takes them.
func dribble(conn net.Conn, length, size int, pause time.Duration) {
	for length > 0 && size > 0 {
		time.Sleep(pause)
		n := min(size, length)
		if _, err := io.WriteString(conn, strings.Repeat("x", n)); err != nil {
			return
		}
		length -= n
	}
}

// TestUnreadAnswersOfOurs doesn't read what the server says itself.
func TestUnreadAnswersOfOurs(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"GET /openapi.yaml", "GET /p/nobody", "GET /v1/plugins"} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, says(""), options{listener: newPipes()})
			conn := s.posting(head, 0, "")
			time.Sleep(bodyIdle + time.Second)
			if data, err := io.ReadAll(conn); len(data) > 0 || err != nil {
				t.Errorf("%s: the server still sends: %.40q, %v", head, data, err)
			}
		})
	}
}

// TestIdleUploadsBlockNobody has more uploads under way than deploys may be carried out at once.
func TestIdleUploadsBlockNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := start(t, says("hello"), options{listener: newPipes()})
		for range 3 * deploys {
			s.posting("PUT /v1/plugins/slow", 1<<20, "x")
		}
		synctest.Wait()
		if got, want := s.memory.Used(), int64(3*deploys*bodyStart); got != want {
			t.Fatalf("%d bytes are held, want %d: the uploads aren't under way", got, want)
		}
		begun := time.Now()
		s.deployed("a", "", "one", "")
		if took := time.Since(begun); took > 0 { // in the bubble it's only waiting that takes time
			t.Errorf("the deploy waited %v", took)
		}
	})
}
