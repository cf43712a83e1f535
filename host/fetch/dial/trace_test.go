package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// TestTrace: which stages took place.
func TestTrace(t *testing.T) {
	t.Parallel()
	up := listen(t)
	proxy := serveProxy(t, connecting("HTTP/1.1 502 No\r\n\r\n"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name         string
		ctx          context.Context
		to           Target
		dns, connect bool
	}{
		{"a name", t.Context(), Target{Host: "a.example", Port: up.port}, true, true},
		{"a literal", t.Context(), Target{Host: "127.0.0.1", Port: up.port}, false, true},
		{"localhost", t.Context(), Target{Host: "localhost", Port: up.port}, false, true},
		{"refused", t.Context(), Target{Host: "::1", Port: up.port}, false, true},
		{"a proxy", t.Context(), Target{Host: "a.example", Port: "80", Proxy: mustProxy(t, "http://"+proxy.addr)}, true, true},
		{"no such name", t.Context(), Target{Host: "none.example", Port: up.port}, true, false},
		{"denied", t.Context(), Target{Host: "a.example", Port: up.port, Allow: func(netip.AddrPort) error { return errJudge }}, true, false},
		{"no port", t.Context(), Target{Host: "a.example", Port: "x"}, false, false},
		{"cancelled", ended, Target{Host: "a.example", Port: up.port}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := New(Config{Resolver: &resolver{answer: func(_ int, host string) ([]netip.Addr, error) {
				if host == "none.example" {
					return nil, &net.DNSError{IsNotFound: true}
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}}})
			trace := Trace{DNS: time.Hour, Connect: time.Hour}
			if conn, err := d.Dial(tc.ctx, tc.to, time.Minute, &trace); err == nil {
				_ = conn.Close()
			}
			if trace.DNS >= 0 != tc.dns || trace.Connect >= 0 != tc.connect || max(trace.DNS, trace.Connect) >= time.Hour {
				t.Errorf("%+v, want DNS %v, connect %v", trace, tc.dns, tc.connect)
			}
		})
	}
}

// TestTraceMeasures: by a clock that shows exactly what was spent.
func TestTraceMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{Resolver: NewCache(&resolver{answer: func(int, string) ([]netip.Addr, error) {
			time.Sleep(2 * time.Second)
			return nil, errors.New("in vain")
		}}, CacheConfig{})})
		var trace Trace
		_, err := d.Dial(t.Context(), Target{Host: "a.example", Port: "80"}, time.Minute, &trace)
		wantCode(t, err, failure.DNSError)
		if trace.DNS != 2*time.Second || trace.Connect >= 0 {
			t.Errorf("failed: %+v", trace)
		}
		_, err = d.Dial(t.Context(), Target{Host: "a.example", Port: "80"}, time.Second, &trace)
		wantCode(t, err, failure.ConnectTimeout)
		if trace.DNS != time.Second || trace.Connect >= 0 {
			t.Errorf("given up: %+v", trace)
		}
		if _, err = d.Dial(t.Context(), Target{Host: "a.example", Port: "80"}, time.Minute, nil); err == nil {
			t.Error("without a trace")
		}
		synctest.Wait()
	})
}
