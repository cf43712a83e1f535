package manifest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Source says where the value of a key comes from.
type Source struct {
	Key  string // full dotted key, such as process.per_origin; of a list, the list's
	File string // "sortie.yaml", the environment variable's name, or PORT
	Line int    // in the file, counted from 1; 0 for variables
}

// Sources lists the keys that the file or the environment gave, sorted by key,
// whatever their values. Every other key has its default.
func (o *Operator) Sources() []Source {
	list := slices.Collect(maps.Values(o.sources))
	slices.SortFunc(list, func(a, b Source) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// note keeps where the keys come from that the decoder was given.
func (o *Operator) note(d *decoder) {
	sources := maps.Clone(o.sources)
	if sources == nil {
		sources = map[string]Source{}
	}
	for _, key := range d.leaves() {
		at := d.places[key]
		for other := range sources {
			if within(other, key) || within(key, other) {
				delete(sources, other) // it was given as a whole, and now in part, or the other way round
			}
		}
		sources[key] = Source{Key: key, File: cmp.Or(at.file, d.file), Line: at.line}
	}
	o.sources = sources
}

// leaves lists the keys that were named, without those of mappings that hold
// others and without the items of lists.
func (d *decoder) leaves() []string {
	outer := map[string]bool{"": true}
	for key := range d.places {
		for i := strings.LastIndexByte(key, '.'); i > 0; i = strings.LastIndexByte(key[:i], '.') {
			outer[key[:i]] = true
		}
	}
	var leaves []string
	for key := range d.places {
		if !outer[key] && !d.ofItem(key) {
			leaves = append(leaves, key)
		}
	}
	return leaves
}

// ofItem says whether a key is an item of a list, or stands inside one.
func (d *decoder) ofItem(key string) bool {
	for i := range len(key) {
		if key[i] == '[' && i > 0 && d.named(key[:i]) {
			return true
		}
	}
	return false
}
