package manifest

import "strings"

// nearest gives the candidate that a misspelt word most likely means, or "".
// Case and the choice of separator don't count as mistakes, nor does a word that
// goes on or stops early; otherwise about one character in three may be wrong.
func nearest(word string, candidates []string) string {
	if len(word) > maxKeyBytes {
		return ""
	}
	best, least := "", len(word)+1
	for _, c := range candidates {
		a, b := plain(word), plain(c)
		d := distance(a, b)
		if short := min(len(a), len(b)); short > 3 && max(len(a), len(b)) <= short+3 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			d = min(d, 1) // "warning" for "warn"
		}
		if allowed := max(1, min(len(word), len(c))/3); d <= allowed && d < least {
			best, least = c, d
		}
	}
	return best
}

func plain(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance is the number of characters to insert, delete, replace or swap with
// their neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, previous, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		previous[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, previous, row = previous, row, before
	}
	return previous[len(y)]
}
