package server

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestQuota uses up each amount of a day, and goes on with the next day.
func TestQuota(t *testing.T) {
	t.Parallel()
	for name, quota := range map[string]string{
		"requests": "requests: 4", "fetches": "fetches: 8", "egress": "egress: 400B", "cpu": "cpu: 40ms",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, says("hello"), options{
				operator: "plugins: {\"a*\": {quota: {" + quota + "}}}",
				record: func(r *host.Report) { // each uses a quarter of everything
					r.CPU = 10 * time.Millisecond
					r.Fetches = []fetch.Record{{Exchanges: []fetch.Exchange{{Sent: 20, Received: 30}, {Sent: 50}}}}
				},
			})
			s.deployed("a", "", "one", "")
			s.deployed("ab", "", "one", "")
			s.deployed("b", "", "one", "")
			clock := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)
			s.usage.now = func() time.Time { return clock }
			for range 4 {
				if a := s.get("/p/a"); a.StatusCode != 200 {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
			}
			for range 2 {
				a := s.get("/p/a")
				wantProblem(t, a, 429, "rate_limited")
				if wait, _ := strconv.Atoi(a.Header.Get("Retry-After")); wait != 3600 {
					t.Errorf("Retry-After = %d, an hour before midnight", wait)
				}
			}
			for _, other := range []string{"/p/ab", "/p/b"} {
				if a := s.get(other); a.StatusCode != 200 {
					t.Errorf("%s: %d; the quota is each plugin's own", other, a.StatusCode)
				}
			}
			s.deployed("a", "", "two", "")
			wantProblem(t, s.get("/p/a"), 429, "rate_limited") // a deploy begins nothing anew
			clock = clock.Add(time.Hour)
			if a := s.get("/p/a"); a.StatusCode != 200 {
				t.Errorf("the next day: %d %s", a.StatusCode, a.body)
			}
		})
	}
}

// TestUsageIsKept goes on after a restart with what was used, and not with another day's.
func TestUsageIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "usage.json")
	rules, err := manifest.ParseOperator([]byte("plugins: {a: {quota: {requests: 2}}}"))
	if err != nil {
		t.Fatal(err)
	}
	quota := rules.Rules("a").Quota
	reopen := func() *usage {
		u, err := newUsage(path)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	u := reopen()
	for range 2 {
		if err := u.enter("a", quota); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.keep(); err != nil {
		t.Fatal(err)
	}
	if err := reopen().enter("a", quota); err == nil {
		t.Error("a restart began the day anew")
	}
	u = reopen()
	u.now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	if err := u.enter("a", quota); err != nil {
		t.Errorf("the next day: %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newUsage(path); err == nil {
		t.Error("a file that can't be read lets everybody begin anew")
	}
}
