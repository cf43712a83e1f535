package manifest

import (
	"strings"
	"testing"
)

func TestMatchName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		patterns string // separated by spaces
		name     string
		want     bool
	}{
		{"", "prices", false},
		{"prices", "prices", true},
		{"prices", "price", false},
		{"prices", "prices-eu", false},
		{"price?", "prices", true},
		{"price?", "price", false},
		{"search-*", "search-web", true},
		{"search-*", "search-", true},
		{"search-*", "search", false},
		{"a b prices", "prices", true},
		{"*", "prices", true},
		{"*", "", true},
		{"[a-z]*", "prices", false},
		{"Prices", "Prices", false},
		{"prices\\", "prices", false},
	} {
		if got := MatchName(strings.Fields(tt.patterns), tt.name); got != tt.want {
			t.Errorf("%q, %q: %v", tt.patterns, tt.name, got)
		}
	}
}

func TestCheckNamePattern(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"prices", "search-*", "*", "?rices", "a1-*-?", "a" + strings.Repeat("*", 127)} {
		if err := CheckNamePattern(pattern); err != nil {
			t.Errorf("%q: %s", pattern, err)
		}
	}
	for _, pattern := range []string{"", "Prices", "-a", "1a", "a b", "a\n", "[a-z]", "a\\*", "a,b", "é", "a" + strings.Repeat("*", 128)} {
		err := CheckNamePattern(pattern)
		if err == nil || !strings.HasSuffix(err.Error(), "matches no plugin's name; write one, such as prices or search-*") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}
