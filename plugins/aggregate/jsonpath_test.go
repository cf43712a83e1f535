package main

import (
	"encoding/json"
	"testing"
)

func TestPathGet(t *testing.T) {
	t.Parallel()
	const text = `{"a":{"b":[{"c":1},{"c":2.50},{"d":3}]},"x.y":{"":true},"n":null,"é":"ü","l":[[1,2],[3]],"big":12345678901234567890123}`
	tests := []struct{ path, want string }{ // want "": nothing there
		{"", text},
		{"a.b[0].c", `1`},
		{"a.b[1].c", `2.50`},
		{"a.b[2].c", ``},
		{"a.b[3]", ``},
		{"a.b[99999999]", ``},
		{"a.b[*].c", `[1,2.50]`},
		{"a.b[*]", `[{"c":1},{"c":2.50},{"d":3}]`},
		{"a[*]", ``},
		{"l[*][0]", `[1,3]`},
		{"l[*][*]", `[[1,2],[3]]`},
		{`["x.y"][""]`, `true`},
		{`["x.y"]`, `{"":true}`},
		{`["\u00e9"]`, `"ü"`},
		{"é", `"ü"`},
		{"n", `null`},
		{"n.a", ``},
		{"big", `12345678901234567890123`},
		{"A", ``},
	}
	for _, test := range tests {
		p, err := parsePath(test.path)
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		doc := &document{raw: json.RawMessage(text)}
		value, ok := doc.get(p)
		if ok != (test.want != "") {
			t.Errorf("%s: found is %v", test.path, ok)
			continue
		}
		if got, _ := json.Marshal(value); ok && string(got) != test.want {
			t.Errorf("%s: got %s, want %s", test.path, got, test.want)
		}
	}
}

func TestParsePathErrors(t *testing.T) {
	t.Parallel()
	for _, text := range []string{".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[1", "a[1]b", `a["x`, `a["x"`, "a[99999999999]", "a]", "a[0x1]"} {
		if p, err := parsePath(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, p)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"a.b[0].c", "a[*].b", `["x.y"]`, "[[", "a..", `["\`} {
		f.Add(seed, `{"a":{"b":[{"c":1}]}}`)
	}
	f.Fuzz(func(t *testing.T, text, doc string) {
		p, err := parsePath(text)
		if err != nil || !json.Valid([]byte(doc)) {
			return
		}
		if len(p) > maxSteps {
			t.Fatalf("%d steps", len(p))
		}
		value, ok := p.get(decodeValue([]byte(doc)))
		if !ok {
			return
		}
		if _, err := json.Marshal(value); err != nil {
			t.Fatalf("%q in %q can't be written: %v", text, doc, err)
		}
	})
}

func TestNewDocument(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, contentType, body string
		how                     decoding
		want                    string // "": an error
	}{
		{"JSON", "application/json; charset=utf-8", `{"b":1, "a":1e400}`, decodeAuto, `{"b":1,"a":1e400}`},
		{"a suffix", "application/problem+json", `[1]`, decodeAuto, `[1]`},
		{"no type, JSON", "", `{"a":1}`, decodeAuto, `{"a":1}`},
		{"no type, text", "", `hello`, decodeAuto, `"hello"`},
		{"a text that looks like JSON", "text/plain", `12`, decodeAuto, `"12"`},
		{"declared and wrong", "application/json", `{"a":`, decodeAuto, ``},
		{"an odd content type", "application/json; =", `{}`, decodeAuto, `{}`},
		{"JSON by the configuration", "text/plain", `{"a":1}`, decodeJSON, `{"a":1}`},
		{"not JSON, against the configuration", "text/plain", `a`, decodeJSON, ``},
		{"text by the configuration", "application/json", `{"a":1}`, decodeText, `"{\"a\":1}"`},
		{"empty", "application/json", " \n", decodeAuto, `null`},
		{"empty text", "text/plain", "", decodeText, `""`},
		{"a byte order mark", "application/json", "\xef\xbb\xbf{}", decodeAuto, `{}`},
		{"not UTF-8", "text/plain", "a\xffb", decodeAuto, `"a�b"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			doc, err := newDocument(test.how, test.contentType, []byte(test.body))
			if err != nil {
				if test.want != "" {
					t.Fatal(err)
				}
				return
			}
			got, err := json.Marshal(doc.whole())
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}
