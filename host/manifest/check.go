package manifest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

// The bounds on parts of a manifest, and on lists of the operator's.
const (
	maxMethods      = 32
	maxMethodBytes  = 32
	maxSecrets      = 100
	maxSecretAllow  = 100
	maxHeaderBytes  = 8 << 10 // a header's name or value, a warm-up's path
	maxEntryBytes   = 256
	maxPathBytes    = 1024
	secretMark      = "{secret}"
	namePattern     = `^[a-z][a-z0-9-]{0,62}$`
	secretPattern   = `^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`
	globPattern     = `^[a-z*?][a-z0-9*?-]{0,127}$`
	variablePattern = `^[A-Za-z_][A-Za-z0-9_]{0,255}$`
)

// checker checks decoded values and puts them in canonical form. Each check
// reports at most one error for a key, and none where decoding already did.
type checker struct {
	*decoder
	prefix string // of the manifest's keys: "" or "defaults"
}

// bad reports what is wrong with the value of a key.
func (c *checker) bad(key, format string, args ...any) {
	key = c.full(key)
	if c.failedUnder(key) {
		return
	}
	c.fail(key, c.at(key), format, args...)
}

func (c *checker) full(key string) string {
	if c.prefix == "" {
		return key
	}
	return c.prefix + "." + key
}

func (c *checker) manifest(m *Manifest) {
	if m.Name != "" || c.named(c.full("name")) {
		if !regexp.MustCompile(namePattern).MatchString(m.Name) {
			c.bad("name", "%s is not a plugin's name: a lower-case letter, then letters, digits and dashes, 63 at most", quote(m.Name))
		}
	}
	m.Wasm = c.wasm(m.Wasm)
	if m.Entry == "" || len(m.Entry) > maxEntryBytes || strings.ContainsFunc(m.Entry, unicode.IsControl) {
		c.bad("entry", "%s can't be the name of an exported function", quote(m.Entry))
	}
	c.oneOf("access", m.Access, AccessToken, AccessPublic)
	c.oneOf("isolation", m.Isolation, IsolationFresh, IsolationPooled)
	c.amounts(m)
	m.Fetch.Retry.Statuses = c.statuses(m.Fetch.Retry.Statuses)
	m.Fetch.Hedge = c.hedge(m.Fetch.Hedge)
	for i := range m.Fetch.Allow {
		c.rule(&m.Fetch.Allow[i], item("fetch.allow", i))
	}
	c.warmup(m.Warmup)
	c.smoke(m.Smoke)
	c.sticky(&m.Sticky)
	c.cors(&m.CORS)
	if len(m.Secrets) > maxSecrets {
		c.bad("secrets", "%d secrets; %d is the most", len(m.Secrets), maxSecrets)
		return
	}
	for i := range m.Secrets {
		c.secret(&m.Secrets[i], item("secrets", i))
	}
	if len(c.errs) == 0 {
		c.canonicalSize(m)
	}
}

// canonicalSize keeps a manifest's canonical form readable: aliases can make it
// far longer than its file.
func (c *checker) canonicalSize(m *Manifest) {
	canonical, err := json.Marshal(m)
	switch {
	case err != nil:
		c.bad("config", "can't be written as JSON: %s", err)
	case len(canonical) > maxFileBytes:
		c.bad("config", "the manifest has %d bytes as JSON; %d is the most", len(canonical), maxFileBytes)
	}
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	full := c.full(key)
	if slices.Contains(allowed, value) || c.failedUnder(full) {
		return
	}
	at := c.at(full)
	c.report(&Error{
		File: at.file, Key: full, Line: at.line, Column: at.column,
		Message: fmt.Sprintf("%s is not one of %s", quote(value), strings.Join(allowed, ", ")),
		Nearest: nearest(value, allowed),
	})
}

func (c *checker) amounts(m *Manifest) {
	for _, a := range amountTable() {
		if wrong := a.check(a.get(m.amounts())); wrong != "" {
			c.bad(a.key, "%s", wrong)
		}
	}
}

// wasm checks the file's path, and cleans it. It is a slash path on every
// system, and stays inside its folder on every system.
func (c *checker) wasm(file string) string {
	clean := path.Clean(file)
	switch {
	case file == "":
		c.bad("wasm", "empty; it is the plugin's file, such as plugin.wasm")
	case len(file) > maxPathBytes:
		c.bad("wasm", "%d bytes long; a path has %d at most", len(file), maxPathBytes)
	case path.IsAbs(file):
		c.bad("wasm", "%s is absolute; it is relative to the manifest", quote(file))
	case slices.Contains(strings.Split(file, "/"), ".."):
		c.bad("wasm", "%s leaves the manifest's folder, or might; write it without ..", quote(file))
	case strings.ContainsAny(file, `\:`), strings.ContainsFunc(file, unicode.IsControl):
		c.bad("wasm", "%s has a backslash, a colon or a control character; parts are separated by slashes", quote(file))
	case clean == ".", strings.HasSuffix(file, "/"), !fs.ValidPath(clean):
		c.bad("wasm", "%s is a folder; it is the plugin's file, such as plugin.wasm", quote(file))
	}
	return clean
}

// statuses checks the statuses to retry, and sorts them without repeats.
func (c *checker) statuses(list []int) []int {
	for i, status := range list {
		if status < 100 || status > 599 {
			c.bad(item("fetch.retry.statuses", i), "%d; a status is 100 to 599", status)
		}
	}
	// Never nil: no statuses is a choice, not the default.
	sorted := append([]int{}, list...)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// hedge checks a hedge's delay, and writes it as durations are written.
func (c *checker) hedge(text string) string {
	if text == "" || text == HedgeP95 {
		return text
	}
	d, err := ParseDuration(text)
	switch {
	case err != nil:
		c.bad("fetch.hedge", "%s is neither a duration, such as 50ms, nor p95", quote(text))
		return text
	case d == 0:
		c.bad("fetch.hedge", "%s; leave it empty for no hedge at all", d)
	case d < leastDuration || d > maxDuration:
		c.bad("fetch.hedge", "%s; it is %s to %s, or p95", d, leastDuration, maxDuration)
	}
	return d.String()
}

func (c *checker) rule(r *Rule, key string) {
	urlKey := key
	if c.named(c.full(key + ".url")) {
		urlKey += ".url"
	}
	pattern, err := ParsePattern(r.URL)
	if err != nil {
		c.bad(urlKey, "%s", ruleMessage(r.URL, err))
	} else {
		r.Pattern, r.URL = pattern, pattern.String()
	}
	r.Methods = c.methods(r.Methods, key+".methods")
}

// ruleMessage says what is wrong with a rule's URL, the rule itself included.
func ruleMessage(url string, err error) string {
	if url == "" {
		return "no URL; a rule has one, as scheme://host[:port]"
	}
	return quote(url) + ": " + err.Error()
}

// methods checks a rule's methods, and sorts them in upper case without
// repeats. A list without any would match nothing.
func (c *checker) methods(list []string, key string) []string {
	switch {
	case len(list) == 0:
		if c.emptyList[c.full(key)] {
			c.bad(key, "an empty list matches nothing; without `methods`, all are allowed")
		}
		return nil
	case len(list) > maxMethods:
		c.bad(key, "%d methods; %d is the most", len(list), maxMethods)
		return list
	}
	upper := make([]string, len(list))
	for i, m := range list {
		upper[i] = c.method(m, item(key, i))
	}
	slices.Sort(upper)
	return slices.Compact(upper)
}

// method checks one method (a token, RFC 9110 section 9.1) and gives it in
// upper case.
func (c *checker) method(m, key string) string {
	if len(m) > maxMethodBytes || !httpguts.ValidHeaderFieldName(m) {
		c.bad(key, "%s is not a method, such as GET", quote(m))
		return m
	}
	return strings.ToUpper(m)
}

func (c *checker) warmup(w *Warmup) {
	if w == nil {
		return
	}
	w.Method = c.method(w.Method, "warmup.method")
	c.samplePath(w.Path, "warmup.path")
}

// samplePath checks the path of a request that a manifest holds.
func (c *checker) samplePath(path, key string) {
	switch {
	case !strings.HasPrefix(path, "/"):
		c.bad(key, "%s does not begin with a slash", quote(path))
	case len(path) > maxHeaderBytes:
		c.bad(key, "%d bytes long; a path has %d at most", len(path), maxHeaderBytes)
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }):
		c.bad(key, "%s has a space, a control character or a fragment", quote(path))
	}
}
