package manifest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
)

// MatchName says whether a plugin's name matches one of the name patterns, as
// in `plugins` of sortie.yaml: `*` stands for any characters, `?` for one. A
// pattern that CheckNamePattern refuses matches nothing.
func MatchName(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil && validPattern.MatchString(pattern)
	})
}

// CheckNamePattern says what is wrong with a name pattern. One that can match
// no plugin's name is an error.
func CheckNamePattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || !validPattern.MatchString(pattern) {
		return fmt.Errorf("%s matches no plugin's name; write one, such as prices or search-*", quote(pattern))
	}
	return nil
}

var validPattern = regexp.MustCompile(globPattern)
