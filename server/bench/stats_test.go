package main

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{[]float64{3}, 0.5, 3},
		{[]float64{3}, 0.9, 3},
		{[]float64{4, 1}, 0.5, 2.5},
		{[]float64{9, 1, 5}, 0.5, 5},
		{[]float64{9, 1, 5}, 0, 1},
		{[]float64{9, 1, 5}, 1, 9},
		{[]float64{0, 10, 20, 30, 40}, 0.1, 4},
		{[]float64{0, 10, 20, 30, 40}, 0.9, 36},
		{[]float64{40, 30, 20, 10, 0}, 0.75, 30},
	} {
		if got := quantile(test.values, test.q); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("quantile(%v, %g) = %g, want %g", test.values, test.q, got, test.want)
		}
	}
	if got := quantile(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of nothing is %g", got)
	}
	values := []float64{3, 1, 2}
	if median(values); values[0] != 3 {
		t.Error("the values were sorted in place")
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	// The machine was three times slower in the second round, for both.
	got := ratios([]float64{20, 60, 22}, []float64{10, 30, 11, 5})
	if len(got) != 3 || got[0] != 2 || got[1] != 2 || got[2] != 2 {
		t.Errorf("got %v, want three times 2", got)
	}
	if got := ratios([]float64{1}, []float64{0}); len(got) != 0 {
		t.Errorf("got %v of a round that took no time", got)
	}
}
