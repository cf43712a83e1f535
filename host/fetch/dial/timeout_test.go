package dial

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// silent is a resolver that never answers; deaf ones don't heed ctx either.
type silent struct {
	deaf    bool
	release chan struct{}
}

func (s *silent) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	done := ctx.Done()
	if s.deaf {
		done = nil
	}
	select {
	case <-done:
		return nil, ctx.Err()
	case <-s.release:
		return nil, errors.New("released")
	}
}

// inBubble runs test with both kinds of silent resolver, on a fake clock.
func inBubble(t *testing.T, test func(t *testing.T, d *Dialer)) {
	for name, deaf := range map[string]bool{"a resolver that heeds ctx": false, "one that doesn't": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &silent{deaf: deaf, release: make(chan struct{})}
				defer close(s.release)
				test(t, New(Config{Resolver: s}))
			})
		})
	}
}

func TestConnectTimeoutCoversResolving(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, d *Dialer) {
		start := time.Now()
		_, err := d.DialContext(t.Context(), "x.example", "80", nil, 3*time.Second)
		fail := wantCode(t, err, failure.ConnectTimeout)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if !strings.Contains(fail.Message, "x.example:80") || !strings.Contains(fail.Message, "3s") || !fail.Retryable {
			t.Errorf("message %q, retryable %v", fail.Message, fail.Retryable)
		}
	})
}

func TestCancellationIsItsCause(t *testing.T) {
	t.Parallel()
	errGuest := errors.New("the guest cancelled")
	inBubble(t, func(t *testing.T, d *Dialer) {
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, func() { cancel(errGuest) })
		_, err := d.DialContext(ctx, "x.example", "80", nil, 3*time.Second)
		if err != errGuest || time.Since(start) != time.Second {
			t.Errorf("%v after %s, want %v after 1s", err, time.Since(start), errGuest)
		}
		if _, err = d.DialContext(ctx, "x.example", "80", nil, 3*time.Second); err != errGuest {
			t.Errorf("begun with a cancelled context: %v", err)
		}
	})
}

// The caller's own deadline is the caller's to name, though it is a deadline.
func TestTheCallersDeadlineIsNoConnectTimeout(t *testing.T) {
	t.Parallel()
	errWhole := failure.New(failure.Timeout, "the fetch's time is over")
	inBubble(t, func(t *testing.T, d *Dialer) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errWhole)
		defer cancel()
		if _, err := d.DialContext(ctx, "x.example", "80", nil, 3*time.Second); err != error(errWhole) {
			t.Errorf("with a cause: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.DialContext(ctx, "x.example", "80", nil, 0); err != context.DeadlineExceeded {
			t.Errorf("without: %v", err)
		}
	})
}

// An address that hangs is joined by the next one after the stagger, and no
// attempt is left when the dial is over.
func TestStaggered(t *testing.T) {
	t.Parallel()
	up := listen(t)
	entered, hanging := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	verdicts := map[string]int{}
	j := &judge{}
	allow := func(a netip.AddrPort) error {
		if err := j.allow(a); err != nil {
			return err
		}
		j.mu.Lock()
		verdicts[a.Addr().String()]++
		atSocket := verdicts[a.Addr().String()] == 2
		j.mu.Unlock()
		switch {
		case !atSocket:
		case a.Addr().String() == "127.0.0.9":
			close(entered)
			<-hanging // its attempt gets no further until the other one has surely won
			ended.Store(true)
		default:
			<-entered // or this one may have won before the other is at its socket
			time.AfterFunc(50*time.Millisecond, func() { close(hanging) })
		}
		return nil
	}
	d := New(Config{Resolver: answering("127.0.0.9", "127.0.0.1"), Stagger: time.Millisecond})
	conn, err := d.DialContext(t.Context(), "slow.example", up.port, allow, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if !ended.Load() {
		t.Error("the other attempt was left behind")
	}
	hello(t, conn)
	if host := conn.RemoteAddr().String(); !strings.HasPrefix(host, "127.0.0.1:") {
		t.Errorf("connected to %s", host)
	}
}
