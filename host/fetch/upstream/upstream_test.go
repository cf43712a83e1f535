package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func breaking() Settings {
	return Settings{Breaker: &Breaker{Failures: 0.5, Requests: 4, Window: 10 * time.Second, Pause: 5 * time.Second}}
}

// TestBreaker plays outcomes and says of each request whether it was let through: s success, f failure, n nothing, w waits a pause,
// x is refused.
func TestBreaker(t *testing.T) {
	for _, c := range []struct{ name, play string }{
		{"stays closed below the number of requests", "fffs"},
		{"stays closed below the share", "sssffsss"},
		{"opens at the share", "ssffx"},
		{"opens when all fail", "ffffxxx"},
		{"what says nothing doesn't count", "fffnnnnnfx"},
		{"after the pause two successes close it", "ffffxwsss"},
		{"after the pause one failure opens it", "ffffxwfx"},
		{"a probe that says nothing opens it again, and it isn't stuck", "ffffxwnxwss"},
		{"old failures are forgotten", "fffwwwsfss"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := NewOrigins().Get("https://a.test", breaking())
				for i, step := range c.play {
					if step == 'w' {
						time.Sleep(5*time.Second + time.Millisecond)
						continue
					}
					permit, err := o.Admit(context.Background())
					if (err != nil) != (step == 'x') {
						t.Fatalf("step %d (%c): %v", i, step, err)
					}
					if err != nil {
						if failure.CodeOf(err) != failure.CircuitOpen {
							t.Fatal(err)
						}
						continue
					}
					permit.Done(map[rune]Outcome{'s': Success, 'f': Failure, 'n': Nothing}[step], time.Millisecond)
				}
			})
		})
	}
}

// TestProbesAreFew: of many who come after the pause, two try.
func TestProbesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin("a", breaking())
		for range 4 {
			p, _ := o.Admit(context.Background())
			p.Done(Failure, 0)
		}
		time.Sleep(6 * time.Second)
		through := 0
		for range 50 {
			if _, err := o.Admit(context.Background()); err == nil {
				through++
			}
		}
		if through != probes {
			t.Errorf("%d were let through", through)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	for _, c := range []struct {
		name                  string
		budget                RetryBudget
		requests, want, later int // later: what a window later is allowed again
	}{
		{"the default's minimum", RetryBudget{}, 0, 100, 100},
		{"the default's share", RetryBudget{}, 1000, 300, 100},
		{"a share only", RetryBudget{Ratio: 0.1, Window: time.Second}, 50, 5, 0},
		{"none", RetryBudget{None: true}, 1000, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := retries{budget: c.budget}
				for range c.requests {
					r.request()
				}
				count := func() (n int) {
					for r.take() {
						n++
					}
					return n
				}
				if n := count(); n != c.want {
					t.Errorf("%d retries", n)
				}
				time.Sleep(r.rules().Window + r.rules().Window/slices)
				if n := count(); n != c.later {
					t.Errorf("%d retries in the next window", n)
				}
			})
		})
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, limit := NewRates(), Rate{N: 10, Per: time.Second}
		for range 10 {
			if err := r.Wait(context.Background(), "a", limit, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Wait(context.Background(), "a", limit, 50*time.Millisecond); failure.CodeOf(err) != failure.RateLimited {
			t.Errorf("past the wait: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := r.Wait(ctx, "a", limit, time.Minute); failure.CodeOf(err) != failure.RateLimited {
			t.Errorf("past the deadline: %v", err)
		}
		if err := r.Wait(context.Background(), "b", limit, 0); err != nil {
			t.Errorf("another origin: %v", err)
		}
		// A turn that is given up is the next one's.
		cause := errors.New("enough")
		giving, give := context.WithCancelCause(context.Background())
		done := make(chan error)
		go func() { done <- r.Wait(giving, "a", limit, time.Minute) }()
		synctest.Wait()
		give(cause)
		if err := <-done; err != cause {
			t.Errorf("given up: %v", err)
		}
		start := time.Now()
		if err := r.Wait(context.Background(), "a", limit, time.Minute); err != nil || time.Since(start) > 110*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestAdaptive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin("a", Settings{Adaptive: &Adaptive{Initial: 2, Min: 1, Max: 10}})
		var held []Permit
		for range 2 {
			p, err := o.Admit(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, p)
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		waiting := make(chan error)
		go func() { _, err := o.Admit(ctx); waiting <- err }()
		synctest.Wait()
		cancel(cause)
		if err := <-waiting; err != cause {
			t.Errorf("given up: %v", err)
		}
		go func() {
			p, err := o.Admit(context.Background())
			p.Done(Nothing, 0)
			waiting <- err
		}()
		synctest.Wait()
		held[0].Done(Nothing, 0)
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		held[1].Done(Success, time.Millisecond)
		if n := o.adaptive.Inflight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestP95(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l latency
		for i := range 19 {
			l.observe(time.Duration(i) * time.Millisecond)
		}
		if _, ok := l.quantile(0.95); ok {
			t.Error("19 samples are enough")
		}
		l = latency{}
		for i := range 1000 {
			l.observe(time.Duration(i) * time.Millisecond)
		}
		if d, ok := l.quantile(0.95); !ok || d < 900*time.Millisecond || d > 1150*time.Millisecond {
			t.Errorf("p95 of 0 to 999 ms is %s", d)
		}
		time.Sleep(half)
		for range 100000 {
			l.observe(10 * time.Millisecond)
		}
		if d, _ := l.quantile(0.95); d > 15*time.Millisecond {
			t.Errorf("p95 is still %s", d)
		}
		time.Sleep(time.Hour)
		if _, ok := l.quantile(0.95); ok {
			t.Error("an hour is remembered")
		}
		l.observe(-1)
		l.observe(time.Hour * 1000)
	})
}

// TestOriginsAreBounded: naming others neither takes memory nor resets what is held against one.
func TestOriginsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewOrigins()
		bad := s.Get("bad", breaking())
		for range 4 {
			p, _ := bad.Admit(context.Background())
			p.Done(Failure, 0)
		}
		s.Put(bad)
		for i := range 10 * maxOrigins {
			if i%maxOrigins == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			s.Put(s.Get(fmt.Sprint(i), breaking()))
		}
		if len(s.known) > maxOrigins {
			t.Errorf("%d are remembered", len(s.known))
		}
		time.Sleep(2 * time.Second)
		s.Put(s.Get("another", breaking()))
		if len(s.known) > 3 {
			t.Errorf("%d are remembered after a while", len(s.known))
		}
		if _, err := s.Get("bad", breaking()).Admit(context.Background()); failure.CodeOf(err) != failure.CircuitOpen {
			t.Errorf("the breaker was reset: %v", err)
		}
	})
}

func TestRatesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, limit := NewRates(), Rate{N: 1, Per: time.Minute}
		if err := r.Wait(context.Background(), "used up", limit, 0); err != nil {
			t.Fatal(err)
		}
		for i := range 3 * maxOrigins {
			r.Wait(context.Background(), fmt.Sprint(i), limit, 0)
		}
		if len(r.known) > maxOrigins {
			t.Errorf("%d are remembered", len(r.known))
		}
		if err := r.Wait(context.Background(), "used up", limit, 0); failure.CodeOf(err) != failure.RateLimited {
			t.Errorf("the limiter was reset: %v", err)
		}
		time.Sleep(2 * time.Minute)
		r.Wait(context.Background(), "another", limit, 0)
		if len(r.known) > 1 {
			t.Errorf("%d are remembered after a while", len(r.known))
		}
	})
}

func TestUnderFire(t *testing.T) {
	t.Parallel()
	s := NewOrigins()
	settings := breaking()
	settings.Adaptive = &Adaptive{Initial: 4, Min: 1, Max: 8}
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			for i := range 200 {
				o := s.Get(fmt.Sprint(i%3), settings)
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				if p, err := o.Admit(ctx); err == nil {
					o.Requested()
					p.Done(Outcome((n+i)%3), time.Microsecond)
				}
				o.Retry()
				o.P95()
				cancel()
				s.Put(o)
			}
		})
	}
	wg.Wait()
	for name, o := range s.known {
		if o.users != 0 || o.adaptive.Inflight() != 0 {
			t.Errorf("%s: %d users, %d in flight", name, o.users, o.adaptive.Inflight())
		}
	}
}

func BenchmarkNothingConfigured(b *testing.B) {
	s := NewOrigins()
	b.ReportAllocs()
	for b.Loop() {
		o := s.Get("https://a.test", Settings{})
		p, _ := o.Admit(context.Background())
		o.Requested()
		p.Done(Success, time.Millisecond)
		s.Put(o)
	}
}
