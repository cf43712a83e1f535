package manifest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// hostile gives files that are cheap to send and were, or could be, dear to
// read.
func hostile() map[string]string {
	const whole = maxFileBytes - 64
	fill := func(s string) string { return strings.Repeat(s, whole/len(s)) }
	files := map[string]string{
		"too long":                strings.Repeat("#", maxFileBytes+1),
		"lists in lists":          fill("["),
		"mappings in mappings":    fill("{a: "),
		"dashes":                  fill("- "),
		"dashes on lines":         fill("-\n"),
		"keys":                    "config:\n" + fill(" a:\n"),
		"keys in brackets":        "config: {" + fill("a: "),
		"keys in closed brackets": "config: ]]]]" + strings.Repeat("{a: ", 200) + strings.Repeat("}", 200),
		"brackets on lines":       "config: {\n" + fill("a:\n") + "1}",
		"brackets, indented":      "config: {" + strings.Repeat("a:\n", 3) + strings.Repeat("    b:\n", 6000) + "1}",
		"open quote":              "config: \"" + fill("a "),
		"explicit keys":           fill("? "),
		"anchors":                 fill("&a "),
		"tags":                    fill("!!str "),
		"a tag in a tag":          "config: {a: " + strings.Repeat("!!str ", 500) + "}",
		"many values":             "config: {a: [" + fill("1,") + "]}",
		"long key, many children": "config: {" + strings.Repeat("k", 100_000) + ": {" + strings.Repeat("a: 1, ", 10_000) + "}}",
		"blank lines in a block":  "config:\n  a: |\n" + fill("\n"),
		"indents":                 indents(),
		"blank lines with spaces": "config:\n  a: |\n" + fill("   \n"),
		"carriage returns":        "config:\n  a: |\n" + fill("\r"),
		"blocks":                  "config:\n" + fill("  a: |\n    b\n"),
		"block of nearly blank":   "config:\n  a: |\n" + fill(strings.Repeat("\n", 90)+"    x\n"),
		"documents":               fill("---\n"),
		"unknown keys":            "config: {}\n" + fill("abcdefgh: 1\n"),
		"rules":                   "fetch: {allow: [" + strings.Repeat("https://a.test, ", 1001) + "]}",
		"json depth":              "{\"config\":{\"a\":" + strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000) + "}}",
		"billion laughs":          laughs("config:\n  a: &a [x, x, x, x, x, x, x, x, x, x]\n"),
		"long laughs":             laughs("config:\n  a: &a [" + strings.Repeat("x", 100_000) + "]\n"),
		"laughing rules":          "config: {a: &a [" + strings.Repeat("GET,", 1000) + "], b: &b {url: \"https://a.test\", methods: *a}}\nfetch: {allow: [" + strings.Repeat("*b,", 1000) + "]}",
		"alias of itself":         "config: {a: &a [*a]}",
		"chain of aliases":        chain(),
		"not UTF-8":               "name: \xff\xfe",
		"NUL":                     "name: a\x00b",
	}
	return files
}

func laughs(first string) string {
	var b strings.Builder
	b.WriteString(first)
	for c := 'b'; c <= 'z'; c++ {
		b.WriteString("  " + string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+", ", 10) + "]\n")
	}
	return b.String()
}

// indents puts block mappings inside each other, long values at the bottom.
func indents() string {
	var b strings.Builder
	for i := range 300 {
		b.WriteString(strings.Repeat(" ", i) + strings.Repeat("k", 100) + ":\n")
	}
	return b.String() + strings.Repeat(" ", 301) + "[" + strings.Repeat("1,", 9000) + "]"
}

// chain puts lists inside each other one alias at a time.
func chain() string {
	var b strings.Builder
	b.WriteString("config:\n  x0: &n0 [1]\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  x%d: &n%d [*n%d]\n", i+1, i+1, i)
	}
	return b.String()
}

// TestHostile: each is refused, soon and in few words. The slowest took minutes
// before it was bounded; the slowest now takes a quarter of a second.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, in := range hostile() {
		start := time.Now()
		_, err := Parse([]byte(in))
		if took := time.Since(start); took > time.Minute { // on a machine that is busy; unbounded they take longer
			t.Errorf("%s: took %s", name, took)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 20_000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// hostileUpstreams gives configurations that are large or odd where the keys of
// upstreams are.
func hostileUpstreams() map[string]string {
	match := strings.Repeat("\"https://*.a.test\",", maxSecretAllow)
	return map[string]string{
		"many upstreams":      "upstreams: [" + strings.Repeat("{match: [\"https://a.test\"]},", maxItems+1) + "]",
		"many matches":        "upstreams: [{match: [" + match + "\"https://a.test\"]}]",
		"laughing matches":    "private: &m [" + match + "]\nupstreams: [&u {match: *m}" + strings.Repeat(", *u", maxItems-1) + "]",
		"a long proxy":        "upstreams: [{match: [\"https://a.test\"], proxy: \"http://" + strings.Repeat("a", maxPatternBytes) + "\"}]",
		"a proxy in lines":    "upstreams: [{match: [\"https://a.test\"], proxy: \"http://p\\r\\nA: b\"}]",
		"a NUL in a path":     "upstreams: [{match: [\"https://a.test\"], tls: {roots: \"a\\0b\"}}]",
		"an upstream that is": "upstreams: [[[[]]]]",
		"NaN":                 "upstreams: [{match: [\"https://a.test\"], breaker: {failures: .nan}}]",
		"too many requests":   "upstreams: [{match: [\"https://a.test\"], breaker: {requests: 99999999999999999999}}]",
	}
}

// TestHostileUpstreams: each is refused, soon and in few words.
func TestHostileUpstreams(t *testing.T) {
	t.Parallel()
	for name, in := range hostileUpstreams() {
		start := time.Now()
		_, err := ParseOperator([]byte(in))
		if took := time.Since(start); took > time.Minute { // on a machine that is busy; unbounded they take longer
			t.Errorf("%s: took %s", name, took)
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if len(err.Error()) > 20_000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// TestLargeButFine: the bounds leave room for what is merely large.
func TestLargeButFine(t *testing.T) {
	t.Parallel()
	text := "config:\n  a: >-\n" + strings.Repeat("    word word\n\n", 5000) + "  b: |\n" + strings.Repeat("\n", 50) + strings.Repeat("    code\n      more\n", 5000)
	seeds := "config:\n  seeds:\n" + strings.Repeat("    - https://a.test/some/page\n", 5000)
	rules := "fetch:\n  allow:\n" + strings.Repeat("    - {url: \"https://a.test/\", methods: [GET]}\n", 1000)
	line := "config: {" + oneLine() + "}\nfetch: {allow: [" + strings.Repeat("{url: \"https://a.test\", methods: [GET]}, ", 500) + "]}"
	for name, in := range map[string]string{"text": text, "seeds": seeds, "rules": rules, "one line": line} {
		m, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %.300s", name, err)
			continue
		}
		roundTrip(t, m)
	}
}

// oneLine gives a thousand keys beside each other.
func oneLine() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "k%d: %d, ", i, i)
	}
	return b.String()
}
