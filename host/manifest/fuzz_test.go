package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func seed(t testing.TB, file string) string {
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// FuzzParse: no input makes Parse panic, every error has a place or is about
// the whole file, and what is accepted survives being written and read back.
func FuzzParse(f *testing.F) {
	f.Add(seed(f, "plugin.yaml"))
	for _, s := range hostile() {
		if len(s) < 2000 {
			f.Add(s)
		}
	}
	for _, tt := range manifestErrors {
		f.Add(tt.in)
	}
	f.Add("fetch: {hedge: p95, cache: {bytes: 16MiB, coalesce: true}}")
	f.Add("fetch: {hedge: 1m0s}")
	for _, tt := range append(smokeErrors, corsErrors...) {
		f.Add(tt.in)
	}
	f.Add("smoke: {method: post, path: /x, headers: {x-a: b}, body: c, status: 201}\nsticky: {cookie: session}\n")
	f.Add("cors: {origins: ['https://app.example.com', 'app://x'], methods: [get, PUT], headers: [A], expose: [b], credentials: true, max_age: 10m}")
	f.Add("config: {a: &x [1, 2.5, ~, true, \"\\u0000\"], b: *x, c: !!str 1, 1: 2}\n")
	f.Add("{\"config\":{\"a\":1e300,\"b\":-0.0,\"c\":\"\\ud800\"}}")
	f.Fuzz(func(t *testing.T, in string) {
		start := time.Now()
		m, err := Parse([]byte(in))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		if err != nil {
			checkErrors(t, err)
			return
		}
		roundTrip(t, m)
	})
}

// FuzzParseOperator does the same for the operator's configuration.
func FuzzParseOperator(f *testing.F) {
	f.Add(seed(f, "sortie.yaml"))
	f.Add(seed(f, "upstreams.yaml"))
	for _, in := range hostileUpstreams() {
		f.Add(in)
	}
	for _, tt := range append(operatorErrors, servingErrors...) {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		o, err := ParseOperator([]byte(in))
		if err != nil {
			checkErrors(t, err)
			return
		}
		checkUpstreams(t, o)
		if _, _, err := o.ManifestFor("prices", nil); err != nil && len(o.Defaults.Secrets) == 0 {
			t.Errorf("the defaults are refused: %s", err)
		}
	})
}

// FuzzParsePattern: what is accepted is canonical and covers itself.
func FuzzParsePattern(f *testing.F) {
	for _, tt := range goodPatterns {
		f.Add(tt.in)
	}
	for _, tt := range badPatterns {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := ParsePattern(in)
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil {
			t.Fatalf("%q gives %q, which is refused: %s", in, p, err)
		}
		if p != again {
			t.Errorf("%q gives %#v, then %#v", in, p, again)
		}
		if !p.Covers(p) {
			t.Errorf("%q does not cover itself", in)
		}
	})
}

// checkUpstreams: what is accepted can be used as it stands, is canonical, and
// shows no password.
func checkUpstreams(t *testing.T, o *Operator) {
	t.Helper()
	for _, u := range o.Upstreams {
		if len(u.Match) == 0 || len(u.Match) != len(u.Patterns) {
			t.Fatalf("%d matches, %d patterns", len(u.Match), len(u.Patterns))
		}
		for i, p := range u.Patterns {
			if p.String() != u.Match[i] || p.Path != "" {
				t.Errorf("%q is %#v", u.Match[i], p)
			}
		}
		if a := u.Adaptive; a != nil && (a.Min < 1 || a.Initial < a.Min || a.Max < a.Initial) {
			t.Errorf("%+v", a)
		}
		if u.Proxy == "" {
			continue
		}
		parsed, err := url.Parse(u.Proxy)
		if err != nil {
			t.Fatal(err)
		}
		if password, _ := parsed.User.Password(); len(password) > 8 && strings.Contains(fmt.Sprintf("%+v", u), password) {
			t.Errorf("%+v shows %q", u, password)
		}
	}
}

func checkErrors(t *testing.T, err error) {
	t.Helper()
	var all Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("%T %v, not Errors", err, err)
	}
	for _, e := range all {
		if e.Message == "" || strings.ContainsAny(e.Error(), "\n\r") {
			t.Errorf("bad message %q", e.Error())
		}
		if e.Key != "" && (e.Line < 1 || e.Column < 1) {
			t.Errorf("no place: %s", e)
		}
	}
}

// roundTrip writes a manifest as JSON and as YAML, and reads both back.
func roundTrip(t *testing.T, m *Manifest) {
	t.Helper()
	canonical, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(canonical)
	if err != nil {
		t.Fatalf("canonical JSON is refused: %s\n%s", err, canonical)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		t.Errorf("JSON: %s\n%s", diff, canonical)
	}
	if second, _ := json.Marshal(again); string(second) != string(canonical) {
		t.Errorf("not canonical:\n%s\n%s", canonical, second)
	}
	asYAML, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err = Parse(asYAML)
	if err != nil {
		t.Fatalf("YAML is refused: %s\n%s", err, asYAML)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		t.Errorf("YAML: %s\n%s", diff, asYAML)
	}
}
