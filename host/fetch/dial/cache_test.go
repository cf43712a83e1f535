package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// asked is a resolver that counts, and answers as answer says.
type asked struct {
	n      atomic.Int32
	answer func(ctx context.Context, n int32, host string) ([]netip.Addr, error)
}

func (a *asked) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return a.answer(ctx, a.n.Add(1), host)
}

func one(n int32) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})} }

func TestCacheRemembers(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		after time.Duration
		want  int32 // times the resolver was asked for two questions
	}{
		{"an answer", nil, 9 * time.Second, 1},
		{"an answer, not past its time", nil, 10 * time.Second, 2},
		{"that there is no such name", &net.DNSError{IsNotFound: true}, 900 * time.Millisecond, 1},
		{"that there is no such name, shortly", &net.DNSError{IsNotFound: true}, time.Second, 2},
		{"that there is no such name, in another error", fmt.Errorf("ours: %w", &net.DNSError{IsNotFound: true}), 900 * time.Millisecond, 1},
		{"no failure of the server", &net.DNSError{IsTemporary: true}, 0, 2},
		{"nor one that says there's no such name", &net.DNSError{IsTemporary: true, IsNotFound: true}, 0, 2},
		{"no timeout", &net.DNSError{IsTimeout: true}, 0, 2},
		{"no unknown failure", errors.New("read udp"), 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &asked{answer: func(_ context.Context, n int32, _ string) ([]netip.Addr, error) {
					if c.err != nil {
						return nil, c.err
					}
					return one(n), nil
				}}
				cache := NewCache(r, CacheConfig{})
				for range 2 {
					if _, err := cache.LookupNetIP(context.Background(), "ip", "a"); !errors.Is(err, c.err) {
						t.Error(err)
					}
					time.Sleep(c.after)
				}
				if n := r.n.Load(); n != c.want {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

// TestCacheAsksOnce: however many want a name; who gives up leaves alone, and the last takes the question along.
func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		r := &asked{answer: func(ctx context.Context, n int32, _ string) ([]netip.Addr, error) {
			if n == 1 {
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}
			time.Sleep(time.Second)
			return one(n), nil
		}}
		cache := NewCache(r, CacheConfig{})
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := cache.LookupNetIP(ctx, "ip", "a"); err != context.Canceled {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		if err := <-ended; err != context.Canceled {
			t.Errorf("the question ended with %v", err)
		}
		for range 5 {
			wg.Go(func() {
				if addrs, err := cache.LookupNetIP(context.Background(), "ip", "a"); err != nil || addrs[0] != one(2)[0] {
					t.Error(addrs, err)
				}
			})
		}
		wg.Wait()
		if r.n.Load() != 2 || len(cache.flying) != 0 {
			t.Errorf("asked %d times, %d under way", r.n.Load(), len(cache.flying))
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &asked{answer: func(context.Context, int32, string) ([]netip.Addr, error) {
			return make([]netip.Addr, 10*maxAnswers), nil
		}}
		cache := NewCache(r, CacheConfig{Entries: 10})
		for i := range 100 {
			cache.LookupNetIP(context.Background(), "ip", "often")
			if addrs, _ := cache.LookupNetIP(context.Background(), "ip", fmt.Sprint(i)); len(addrs) > maxAnswers {
				t.Fatalf("%d addresses", len(addrs))
			}
		}
		if len(cache.entries) != 10 || cache.recent.Len() != 10 {
			t.Errorf("%d entries", len(cache.entries))
		}
		if n := r.n.Load(); n != 101 {
			t.Errorf("asked %d times: the name that is asked for often was forgotten", n)
		}
	})
}

// TestCachedAnswersAreJudged: an answer that one dial was allowed to use is judged again for the next.
func TestCachedAnswersAreJudged(t *testing.T) {
	t.Parallel()
	r := &asked{answer: func(context.Context, int32, string) ([]netip.Addr, error) { return one(1), nil }}
	d := New(Config{Resolver: NewCache(r, CacheConfig{})})
	judged := 0
	for range 3 {
		_, err := d.DialContext(context.Background(), "a.example", "80", func(netip.AddrPort) error {
			judged++
			return failure.New(failure.AddressDenied, "no")
		}, time.Minute)
		if failure.CodeOf(err) != failure.AddressDenied {
			t.Error(err)
		}
	}
	if judged != 3 || r.n.Load() != 1 {
		t.Errorf("judged %d times, asked %d times", judged, r.n.Load())
	}
}

// TestCacheForgetsEmptyAnswersSoon: an answer without addresses is as good as none.
func TestCacheForgetsEmptyAnswersSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &asked{answer: func(context.Context, int32, string) ([]netip.Addr, error) { return nil, nil }}
		cache := NewCache(r, CacheConfig{NegativeTTL: 2 * time.Second})
		for _, want := range []int32{1, 1, 2} {
			if addrs, err := cache.LookupNetIP(t.Context(), "ip", "a"); len(addrs) != 0 || err != nil || r.n.Load() != want {
				t.Errorf("%v, %v, asked %d times, want %d", addrs, err, r.n.Load(), want)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestCacheOutlivesItsFirstAsker: who asked first leaves, and the others have the answer of the one lookup.
func TestCacheOutlivesItsFirstAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &asked{answer: func(ctx context.Context, n int32, _ string) ([]netip.Addr, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(3 * time.Second):
				return one(n), nil
			}
		}}
		cache := NewCache(r, CacheConfig{})
		errLeft := errors.New("left")
		first, cancel := context.WithTimeoutCause(t.Context(), time.Second, errLeft)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := cache.LookupNetIP(first, "ip", "a"); err != errLeft {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				if addrs, err := cache.LookupNetIP(t.Context(), "ip", "a"); err != nil || addrs[0] != one(1)[0] {
					t.Error(addrs, err)
				}
			})
		}
		wg.Wait()
		if _, err := cache.LookupNetIP(first, "ip", "a"); err != nil {
			t.Errorf("what is remembered needs no time: %v", err)
		}
		if _, err := cache.LookupNetIP(first, "ip", "b"); err != errLeft || r.n.Load() != 1 {
			t.Errorf("nobody waits for b: %v, asked %d times", err, r.n.Load())
		}
	})
}

// TestCacheBoundsTime: nobody waits for a resolver longer than the timeout, and what it says too late counts for nothing.
func TestCacheBoundsTime(t *testing.T) {
	for name, deaf := range map[string]bool{"a resolver that heeds ctx": false, "one that doesn't": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &asked{answer: func(ctx context.Context, n int32, _ string) ([]netip.Addr, error) {
					if n > 1 {
						return one(n), nil
					}
					if !deaf {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					time.Sleep(time.Minute)
					return one(n), nil
				}}
				cache := NewCache(r, CacheConfig{TTL: time.Hour})
				start := time.Now()
				_, err := cache.LookupNetIP(t.Context(), "ip", "a")
				var dns *net.DNSError
				if !errors.As(err, &dns) || !dns.IsTimeout || dns.IsNotFound || time.Since(start) != 10*time.Second {
					t.Errorf("%v after %s", err, time.Since(start))
				}
				for range 2 {
					addrs, err := cache.LookupNetIP(t.Context(), "ip", "a")
					if err != nil || addrs[0] != one(2)[0] {
						t.Error(addrs, err)
					}
					time.Sleep(2 * time.Minute)
				}
				if n := r.n.Load(); n != 2 {
					t.Errorf("asked %d times", n)
				}
			})
		})
	}
}

// TestCacheBoundsLookups: a guest that names endless hosts, and leaves each soon, has no more lookups under way than there may be, be the
// resolver deaf or not. Others have their turn afterwards.
func TestCacheBoundsLookups(t *testing.T) {
	for name, deaf := range map[string]bool{"a resolver that heeds ctx": false, "one that doesn't": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running, most atomic.Int32
				r := &asked{answer: func(ctx context.Context, _ int32, host string) ([]netip.Addr, error) {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					done := ctx.Done()
					if deaf {
						done = nil
					}
					select {
					case <-done:
						return nil, ctx.Err()
					case <-time.After(5 * time.Second):
						return one(1), nil
					}
				}}
				cache := NewCache(r, CacheConfig{Lookups: 4})
				var wg sync.WaitGroup
				for i := range 200 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						defer cancel()
						if _, err := cache.LookupNetIP(ctx, "ip", fmt.Sprint(i)); err != context.DeadlineExceeded {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				if n := len(cache.flying); n != 0 {
					t.Errorf("%d are said to be under way", n)
				}
				for i := range 4 {
					wg.Go(func() {
						if _, err := cache.LookupNetIP(t.Context(), "ip", fmt.Sprint("other", i)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if n := most.Load(); n != 4 {
					t.Errorf("%d lookups at a time", n)
				}
				time.Sleep(time.Minute) // the deaf ones end in the bubble
			})
		})
	}
}

// TestCacheBoundsNames: what can't be a name isn't asked for, and takes no memory.
func TestCacheBoundsNames(t *testing.T) {
	t.Parallel()
	r := answering("192.0.2.1")
	cache := NewCache(r, CacheConfig{})
	_, err := cache.LookupNetIP(t.Context(), "ip", strings.Repeat("a.", maxName/2)+"b")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound || r.asked.Load() != 0 || len(cache.entries) != 0 {
		t.Errorf("%v, asked %d times, %d entries", err, r.asked.Load(), len(cache.entries))
	}
}

// TestCachedRebinding: a name whose answers change, from allowed to forbidden and between dials. Each dial judges what it connects to.
func TestCachedRebinding(t *testing.T) {
	t.Parallel()
	up := listen(t)
	r := &resolver{answer: func(n int, _ string) ([]netip.Addr, error) {
		if n == 1 {
			return []netip.Addr{netip.IPv6Loopback()}, nil // allowed by this judge; nothing listens there
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}}
	cache := NewCache(r, CacheConfig{TTL: time.Hour})
	d := New(Config{Resolver: cache})
	j := &judge{only: []string{"::1"}}
	for range 3 {
		_, err := d.DialContext(t.Context(), "rebind.example", up.port, j.allow, time.Minute)
		wantCode(t, err, failure.ConnectError)
	}
	if n := r.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	cache.mu.Lock()
	cache.entries["rebind.example"].Value.(*cached).expires = time.Now()
	cache.mu.Unlock()
	for range 3 {
		_, err := d.DialContext(t.Context(), "rebind.example", up.port, j.allow, time.Minute)
		wantCode(t, err, failure.AddressDenied)
	}
	conn, err := d.DialContext(t.Context(), "rebind.example", up.port, nil, time.Minute) // somebody else's verdict
	if err != nil {
		t.Fatal(err)
	}
	hello(t, conn)
	if n := up.accepted.Load(); n != 1 || r.asked.Load() != 2 {
		t.Errorf("%d connections, asked %d times", n, r.asked.Load())
	}
}

func BenchmarkCachedLookup(b *testing.B) {
	cache := NewCache(answering("192.0.2.1", "192.0.2.2"), CacheConfig{TTL: time.Hour})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cache.LookupNetIP(b.Context(), "ip", "api.example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
