package conformance

import "testing"

// What can't tell right from wrong proves nothing: each condition, with what meets it and what doesn't.
func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ want, good, bad string }{
		{`1`, `1.0`, `2`},
		{`"a"`, `"a"`, `"b"`},
		{`null`, `null`, `0`},
		{`[1, 2]`, `[1, 2]`, `[1, 2, 3]`},
		{`{"a": 1}`, `{"a": 1, "b": 2}`, `{"b": 2}`},
		{`{"a": {"$absent": true}}`, `{}`, `{"a": null}`},
		{`{"a": {"$any": true}}`, `{"a": null}`, `{}`},
		{`{"$contains": "ell"}`, `"hello"`, `"halo"`},
		{`{"$between": [1, 3]}`, `3`, `3.5`},
		{`{"$length": 2}`, `"ab"`, `"abc"`},
		{`{"$length": 2}`, `[1, 2]`, `[]`},
		{`{"$includes": [["a", 1]]}`, `[["b", 1], ["a", 1]]`, `[["a", 2]]`},
		{`{"$unordered": [1, 2]}`, `[2, 1]`, `[2, 2]`},
		{`{"$unordered": [1, 2]}`, `[2, 1]`, `[1, 2, 3]`},
		{`{"$oneof": [1, "x"]}`, `"x"`, `2`},
		{`{"$not": {"$contains": "secret"}}`, `"plain"`, `"a secret"`},
		{`{"$unknown": 1}`, ``, `1`},
		{`{"a": {"b": [{"c": 1}]}}`, `{"a": {"b": [{"c": 1, "d": 2}]}}`, `{"a": {"b": [{"c": 2}]}}`},
	} {
		want, err := decode([]byte(tc.want))
		if err != nil {
			t.Fatal(err)
		}
		if tc.good != "" {
			if why := matchText(want, []byte(tc.good), "it"); why != "" {
				t.Errorf("%s: %s", tc.want, why)
			}
		}
		if why := matchText(want, []byte(tc.bad), "it"); why == "" {
			t.Errorf("%s takes %s", tc.want, tc.bad)
		}
	}
}

// A vector with a key that there isn't, without a reason, or with one that isn't documented is no vector.
func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"name": "a", "why": "b", "plugin": "c", "expects": {}}`,
		`{"name": "a", "why": "b", "plugin": "c", "expect": {"stats": 200}}`,
		`{"name": "a", "why": "b", "plugin": "c", "upstream": {"/": {"statuss": 200}}}`,
		`{"name": "a", "plugin": "c"}`,
		`{"name": "a", "why": "b", "plugin": "c", "hosts": {"node": {"reason": "too hard"}}}`,
		`{"name": "a", "why": "b", "plugin": "c", "hosts": {"node": {"reason": "browser_header", "expect": {"statu": 1}}}}`,
	} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// A program is laid out as guests/script.wat reads it, and one that can't be is an error.
func TestAssemble(t *testing.T) {
	t.Parallel()
	for _, p := range []Program{
		{{Call: "nothing"}},
		{{Call: "end", Args: []any{"$unset"}}},
		{{Call: "jump", Args: []any{"@nowhere"}}},
		{{Call: "send", Args: []any{map[string]any{"fetch": map[string]any{"uri": "x"}}}}},
		{{Call: "end", Show: "as it is"}},
		{{Call: "end", Args: []any{"what?"}}},
	} {
		if _, err := p.assemble(); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	code, err := Program{{Call: "fail", Args: []any{map[string]any{"text": "why"}}}, {Call: "end"}}.assemble()
	const want = "\x04\x00\x00\x00\x3e\x00\x00\x00\x00\x00\x00\x00" + // fail, to a register that nobody reads, no argument from one
		"\x40\x00\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // 0x10040, 3
		"\x00\x00\x00\x00\x3e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "why"
	if err != nil || string(code) != want {
		t.Errorf("%x, %v", code, err)
	}
}
