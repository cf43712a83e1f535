package settings

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func decode(t *testing.T, text string) Value {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var config any
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	return New(config)
}

func TestValues(t *testing.T) {
	t.Parallel()
	root := decode(t, `{"text":"a","flag":true,"count":7,"wait":"250ms","zero":0,"list":["x","y"],"map":{"b":1,"a":2},"nothing":null}`)
	fields := root.Object("text", "flag", "count", "wait", "zero", "list", "map", "nothing", "absent")
	if got := fields["text"].Text(""); got != "a" {
		t.Errorf("text: %q", got)
	}
	if !fields["flag"].Bool(false) {
		t.Error("flag: false")
	}
	if got := fields["count"].Int(1, 0, 10); got != 7 {
		t.Errorf("count: %d", got)
	}
	if got := fields["wait"].Duration(0, time.Minute); got != 250*time.Millisecond {
		t.Errorf("wait: %s", got)
	}
	if got := fields["zero"].Duration(time.Second, time.Minute); got != 0 {
		t.Errorf("zero: %s", got)
	}
	if list := fields["list"].List(); len(list) != 2 || list[1].Text("") != "y" || list[1].Key() != "config.list[1]" {
		t.Errorf("list: %v", list)
	}
	if entries := fields["map"].Entries(); len(entries) != 2 || entries[0].Name != "a" || entries[0].Int(0, 0, 9) != 2 {
		t.Errorf("map: %v", entries)
	}
	for _, key := range []string{"nothing", "absent"} {
		v := fields[key]
		if v.Set() || v.Text("d") != "d" || v.Int(3, 0, 9) != 3 || !v.Bool(true) || v.Duration(time.Hour, 0) != time.Hour ||
			v.List() != nil || v.Entries() != nil || len(v.Object("x")) != 1 {
			t.Errorf("%s doesn't take its defaults", key)
		}
	}
	if err := root.Err(); err != nil {
		t.Errorf("unexpected: %v", err)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, config string
		read         func(root Value)
		want         string
	}{
		{"misspelt key", `{"max_page":1}`, func(v Value) { v.Object("start", "max_pages") },
			`config.max_page: unknown key; did you mean "max_pages"?`},
		{"swapped letters", `{"ulr":1}`, func(v Value) { v.Object("url", "body") }, `config.ulr: unknown key; did you mean "url"?`},
		{"unlike any", `{"q":1}`, func(v Value) { v.Object("start", "stop") }, `config.q: unknown key; known are start, stop`},
		{"not an object", `[1]`, func(v Value) { v.Object("a") }, `config: must be an object, not a list`},
		{"not entries", `"a"`, func(v Value) { v.Entries() }, `config: must be an object, not a string`},
		{"not a list", `{"a":{}}`, func(v Value) { v.Object("a")["a"].List() }, `config.a: must be a list, not an object`},
		{"not a string", `{"a":1}`, func(v Value) { v.Object("a")["a"].Text("") }, `config.a: must be a string, not a number`},
		{"not a flag", `{"a":"yes"}`, func(v Value) { v.Object("a")["a"].Bool(false) }, `config.a: must be true or false, not a string`},
		{"a fraction", `{"a":1.5}`, func(v Value) { v.Object("a")["a"].Int(0, 0, 9) }, `config.a: must be a whole number, not a number`},
		{"too many", `{"a":99}`, func(v Value) { v.Object("a")["a"].Int(0, 0, 9) }, `config.a: 99 is not between 0 and 9`},
		{"beyond any integer", `{"a":99999999999999999999}`, func(v Value) { v.Object("a")["a"].Int(0, 0, 9) },
			`config.a: must be a whole number, not a number`},
		{"no unit", `{"a":"10"}`, func(v Value) { v.Object("a")["a"].Duration(0, time.Minute) },
			`config.a: "10" is not a duration such as "500ms" or "10s"`},
		{"a number for a duration", `{"a":10}`, func(v Value) { v.Object("a")["a"].Duration(0, time.Minute) },
			`config.a: must be a duration such as "500ms", not a number`},
		{"too long", `{"a":"2m"}`, func(v Value) { v.Object("a")["a"].Duration(0, time.Minute) }, `config.a: 2m is not between 0 and 1m0s`},
		{"two at once", `{"a":[true,"x"],"b":1}`, func(v Value) {
			for _, item := range v.Object("a")["a"].List() {
				item.Text("")
			}
		}, `config.b: unknown key; known are a; config.a[0]: must be a string, not true or false`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			root := decode(t, test.config)
			test.read(root)
			err := root.Err()
			if err == nil {
				t.Fatalf("no problem, want %s", test.want)
			}
			if err.Error() != test.want {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}
