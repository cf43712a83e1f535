package fetch

import (
	"math"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		backoff, most time.Duration
		tries         int
		want          time.Duration // at most
	}{
		{0, time.Second, 5, 0},
		{time.Second, 0, 5, 0},
		{1, 1, 5, 1},
		{100 * time.Millisecond, 2 * time.Second, 1, 100 * time.Millisecond},
		{100 * time.Millisecond, 2 * time.Second, 3, 400 * time.Millisecond},
		{100 * time.Millisecond, 2 * time.Second, 1000, 2 * time.Second},
		{time.Hour, time.Second, 1, time.Second},
		{math.MaxInt64, math.MaxInt64, 3, math.MaxInt64},
		{math.MaxInt64/2 + 1, math.MaxInt64, 1000, math.MaxInt64},
	} {
		f := &flight{retry: Retry{Attempts: tc.tries + 1, Backoff: tc.backoff, MaxBackoff: tc.most}, tries: tc.tries}
		for range 100 {
			if d := f.backoff(); d < 0 || d > tc.want || d == 0 && tc.want > 0 {
				t.Fatalf("%+v: %s", tc, d)
			}
		}
	}
}
