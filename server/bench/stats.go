package main

import (
	"math"
	"slices"
)

// median is the middle one; NaN if there is none.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile interpolates linearly between the closest ranks: 0 is the least, 1 the greatest. The values needn't be sorted.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[below] + (at-float64(below))*(sorted[below+1]-sorted[below])
}

// spread is the figure of several rounds.
type spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"p10"`
	High   float64 `json:"p90"`
	Rounds int     `json:"rounds"`
}

func spreadOf(values []float64) spread {
	return spread{median(values), quantile(values, 0.1), quantile(values, 0.9), len(values)}
}

// ratios divides round by round: the two took turns, so that what slowed the machine down in a round slowed down both.
func ratios(values, by []float64) []float64 {
	n := min(len(values), len(by))
	r := make([]float64, 0, n)
	for i := range n {
		if by[i] > 0 {
			r = append(r, values[i]/by[i])
		}
	}
	return r
}
