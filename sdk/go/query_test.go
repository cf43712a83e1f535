package sortie

import "testing"

func TestWithQueryMerges(t *testing.T) {
	t.Parallel()
	p := []pair{{"a b", "ü&="}, {"a b", "2"}}
	const encoded = "a+b=%C3%BC%26%3D&a+b=2"
	for raw, want := range map[string]string{
		"https://x.example":              "https://x.example?" + encoded,
		"https://x.example/%2F/..;/":     "https://x.example/%2F/..;/?" + encoded,
		"https://x.example/?":            "https://x.example/?" + encoded,
		"https://x.example/?q=%zz":       "https://x.example/?q=%zz&" + encoded,
		"https://x.example/?q=1&":        "https://x.example/?q=1&" + encoded,
		"https://x.example/?q=1#f?g":     "https://x.example/?q=1&" + encoded + "#f?g",
		"https://x.example/#only?fragm":  "https://x.example/?" + encoded + "#only?fragm",
		"not a url at all":               "not a url at all?" + encoded,
		"":                               "?" + encoded,
		"https://x.example/?q=?&r=/a?b=": "https://x.example/?q=?&r=/a?b=&" + encoded,
	} {
		if got := withQuery(raw, p); got != want {
			t.Errorf("withQuery(%q) = %q, want %q", raw, got, want)
		}
	}
	if got := withQuery("https://x.example/?a#b", nil); got != "https://x.example/?a#b" {
		t.Errorf("without parameters: %q", got)
	}
}

func FuzzWithQuery(f *testing.F) {
	f.Add("https://x.example/a?b#c", "name", "value")
	f.Add("?", "", "")
	f.Fuzz(func(t *testing.T, raw, name, value string) {
		got := withQuery(raw, []pair{{name, value}})
		added := len(got) - len(raw)
		r := &Request{URL: got}
		last := r.Query()[name]
		// A query of foreign making may hide ours from net/url's parser only by having the same name.
		if added < 1 || len(last) == 0 || last[len(last)-1] != value {
			t.Errorf("withQuery(%q, %q=%q) = %q, which has %v", raw, name, value, got, last)
		}
	})
}
