package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
		{"no failure of the server", &net.DNSError{IsTemporary: true}, 0, 2},
		{"no timeout", &net.DNSError{IsTimeout: true}, 0, 2},
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
