package settings

// nearest returns the known key that a misspelt one most probably stands for: at most two edits away, and no more than half of
// it; "" if there is none.
func nearest(key string, known []string) string {
	best, least := "", min(2, len(key)/2)+1
	for _, candidate := range known {
		if d := distance(key, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of single-byte insertions, deletions, replacements and swaps of neighbours between two keys.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
