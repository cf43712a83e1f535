package manifest

import (
	"fmt"
	"strings"
)

// Error is one thing wrong in plugin.yaml, sortie.yaml or the environment.
type Error struct {
	File    string // "plugin.yaml", "sortie.yaml" or the variable's name; see Errors.In
	Key     string // full dotted key, such as fetch.limits.requests or fetch.allow[2].url; empty: the file as a whole
	Line    int    // counted from 1; 0: unknown
	Column  int    // counted from 1, in characters; 0: unknown
	Message string // what is wrong, without key and place
	Nearest string // the nearest valid key or value, for a misspelt one; else empty
}

// Error gives `plugin.yaml:12:5: fetch.limits.requsts: unknown key; did you
// mean "requests"?`, in one line.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		b.WriteByte(':')
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Nearest != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Nearest)
	}
	return b.String()
}

// Errors are all the errors found in one file, in the order of their places.
// A non-nil Errors holds at least one.
type Errors []*Error

// Error gives one line for each error.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first *Error.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// In returns the errors with the file's name replaced: by the path a user gave,
// for example. Errors of environment variables keep theirs.
func (es Errors) In(file string) Errors {
	named := make(Errors, len(es))
	for i, e := range es {
		c := *e
		variable := c.Line == 0 && (c.File == portVariable || strings.HasPrefix(c.File, envPrefix))
		if !variable {
			c.File = file
		}
		named[i] = &c
	}
	return named
}
