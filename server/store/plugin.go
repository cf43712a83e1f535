package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Plugin is a plugin as it is stored.
type Plugin struct {
	Name     string    `json:"name"`
	Revision int64     `json:"revision"` // the number of the event that made it what it is; 0: from before there were events
	Last     int       `json:"last"`     // the highest version number ever given, so that none is given twice
	Versions []Version `json:"versions"` // in ascending order, at least one
	Traffic  []Weight  `json:"traffic"`  // ascending by version. Empty: none takes traffic. Otherwise the weights sum to 100
	Previous []Weight  `json:"previous"` // the table before the last change of it; empty: there was none
}

// Version is one deploy of a plugin. It never changes.
type Version struct {
	Number   int       `json:"number"`
	Digest   string    `json:"digest"`   // of the module, as Digest writes it
	Manifest []byte    `json:"manifest"` // as the deployer sent it, byte for byte
	Created  time.Time `json:"created"`  // UTC
	By       string    `json:"by,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// Weight is one version's share of its plugin's traffic, in percent.
type Weight struct {
	Version int `json:"version"`
	Weight  int `json:"weight"`
}

// Newest returns the version with the highest number.
func (p *Plugin) Newest() Version { return p.Versions[len(p.Versions)-1] }

// Same returns the newest version with that module and, byte for byte, that manifest.
func (p *Plugin) Same(digest string, manifest []byte) (Version, bool) {
	for _, v := range slices.Backward(p.Versions) {
		if v.Digest == digest && bytes.Equal(v.Manifest, manifest) {
			return v, true
		}
	}
	return Version{}, false
}

// Version returns the version with that number.
func (p *Plugin) Version(number int) (Version, bool) {
	for _, v := range p.Versions {
		if v.Number == number {
			return v, true
		}
	}
	return Version{}, false
}

// Clone returns a copy that shares nothing with p.
func (p *Plugin) Clone() Plugin {
	c := *p
	c.Traffic, c.Previous = slices.Clone(p.Traffic), slices.Clone(p.Previous)
	c.Versions = slices.Clone(p.Versions)
	for i, v := range c.Versions {
		c.Versions[i].Manifest = bytes.Clone(v.Manifest)
	}
	return c
}

// Check says what is wrong with a plugin that was read from somewhere.
func (p *Plugin) Check() error {
	if !ValidName(p.Name) || len(p.Versions) == 0 {
		return fmt.Errorf("plugin %.80q with %d versions", p.Name, len(p.Versions))
	}
	last := 0
	for _, v := range p.Versions {
		if v.Number <= last || v.Number > p.Last || !ValidDigest(v.Digest) {
			return fmt.Errorf("version %d is malformed", v.Number)
		}
		last = v.Number
	}
	for _, table := range [][]Weight{p.Traffic, p.Previous} {
		if len(table) == 0 {
			continue
		}
		if _, err := p.table(table); err != nil {
			return err
		}
	}
	return nil
}

// MaxTraffic is how many versions of a plugin can have traffic at once: each of them is kept loaded.
const MaxTraffic = 20

// table checks a traffic table for the plugin, and returns it ascending, without what has no weight.
func (p *Plugin) table(weights []Weight) ([]Weight, error) {
	if len(weights) > MaxTraffic {
		return nil, fmt.Errorf("%w: %d entries; %d versions can have traffic at once", ErrTraffic, len(weights), MaxTraffic)
	}
	seen, sum := map[int]bool{}, 0
	var table []Weight
	for _, w := range weights {
		switch _, ok := p.Version(w.Version); {
		case !ok:
			return nil, &VersionError{Plugin: p.Name, Version: w.Version}
		case w.Weight < 0 || w.Weight > 100:
			return nil, fmt.Errorf("%w: version %d has the weight %d; weights are 0 to 100", ErrTraffic, w.Version, w.Weight)
		case seen[w.Version]:
			return nil, fmt.Errorf("%w: version %d is there twice", ErrTraffic, w.Version)
		}
		seen[w.Version] = true
		sum += w.Weight
		if w.Weight > 0 {
			table = append(table, w)
		}
	}
	if sum != 100 {
		return nil, fmt.Errorf("%w: the weights sum to %d, not to 100", ErrTraffic, sum)
	}
	slices.SortFunc(table, func(a, b Weight) int { return a.Version - b.Version })
	return table, nil
}

// VersionError says that a plugin has no such version. It is an ErrNotFound.
type VersionError struct {
	Plugin  string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("plugin %q has no version %d", e.Plugin, e.Version)
}

// Is makes it an ErrNotFound.
func (e *VersionError) Is(target error) bool { return target == ErrNotFound }

// Digest returns "sha256:" and the lower-case hexadecimal SHA-256 of b.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return digestPrefix + hex.EncodeToString(sum[:])
}

const digestPrefix = "sha256:"

// ValidDigest reports whether s is a digest as Digest writes it.
func ValidDigest(s string) bool {
	hexa, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(hexa) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(hexa) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ValidName reports whether s can name a plugin: [a-z][a-z0-9-]{0,62}.
func ValidName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
