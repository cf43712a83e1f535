package main

import (
	"encoding/json"
	"testing"
)

func TestNewBatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		input  string
		config map[string]string
		want   string // empty: an error is expected
	}{
		{"two URLs", `["https://a.example/","https://b.example/x?y=1"]`, nil,
			`{"mode":"all_settled","requests":[{"url":"https://a.example/","headers":[["accept","application/json"]]},` +
				`{"url":"https://b.example/x?y=1","headers":[["accept","application/json"]]}]}`},
		{"no URL", `[]`, nil, `{"mode":"all_settled","requests":[]}`},
		{"configured", `[]`, map[string]string{"concurrency": "4", "timeout_ms": "900"},
			`{"mode":"all_settled","concurrency":4,"timeout_ms":900,"requests":[]}`},
		{"configured badly", `[]`, map[string]string{"concurrency": "many"}, ""},
		{"configured below zero", `[]`, map[string]string{"timeout_ms": "-1"}, ""},
		{"an object", `{"url":"https://a.example/"}`, nil, ""},
		{"numbers", `[1,2]`, nil, ""},
		{"not JSON", `https://a.example/`, nil, ""},
		{"nothing", ``, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, err := newBatch([]byte(test.input), func(key string) (string, bool) {
				value, ok := test.config[key]
				return value, ok
			})
			if test.want == "" {
				if err == nil {
					t.Fatalf("got %+v, want an error", b)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
