package policy

import (
	"fmt"

	"github.com/sortie-run/sortie/host/manifest"
)

// Patterns is a set of patterns without methods or privileges, such as a
// secret's `allow`. It matches as the rules of fetch.allow do.
type Patterns struct{ rules []rule }

// CompilePatterns fails on a pattern that could never match.
func CompilePatterns(patterns []manifest.Pattern) (*Patterns, error) {
	set := &Patterns{rules: make([]rule, 0, len(patterns))}
	for i, pattern := range patterns {
		r, err := compileRule(i+1, manifest.Rule{URL: pattern.String(), Pattern: pattern})
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern.String(), err)
		}
		set.rules = append(set.rules, r)
	}
	return set, nil
}

// Match tells whether one of the patterns covers u.
func (p *Patterns) Match(u *URL) bool {
	for i := range p.rules {
		if p.rules[i].matches(u) {
			return true
		}
	}
	return false
}
