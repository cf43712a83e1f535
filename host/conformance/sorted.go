package conformance

import (
	"maps"
	"slices"
)

// sorted are a map's keys in order, so that messages have one.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
