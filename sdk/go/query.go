package sortie

import (
	"net/url"
	"strings"
)

// query merges parameters: a name that a request sets itself isn't taken from the call.
func query(own, call []pair) []pair {
	if len(own) == 0 || len(call) == 0 {
		return append(own, call...)
	}
	merged := make([]pair, 0, len(own)+len(call))
	for _, p := range call {
		if !has(own, p.name) {
			merged = append(merged, p)
		}
	}
	return append(merged, own...)
}

func has(pairs []pair, name string) bool {
	for _, p := range pairs {
		if p.name == name {
			return true
		}
	}
	return false
}

// withQuery adds parameters at the end of raw's query, before the fragment. All else of raw stays byte for byte: a query of
// its own, escapes in the path, things only the host will judge.
func withQuery(raw string, params []pair) string {
	if len(params) == 0 {
		return raw
	}
	rest, fragment := raw, ""
	if i := strings.IndexByte(raw, '#'); i >= 0 {
		rest, fragment = raw[:i], raw[i:]
	}
	separator := "?"
	if strings.Contains(rest, "?") {
		separator = "&"
		if last := rest[len(rest)-1]; last == '?' || last == '&' {
			separator = ""
		}
	}
	for _, p := range params {
		rest += separator + url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
		separator = "&"
	}
	return rest + fragment
}
