package project

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "prices", ManifestFile), "name: prices\nwasm: out/it.wasm\n")
	write(t, filepath.Join(dir, "prices", "out", "it.wasm"), "")
	write(t, filepath.Join(dir, "prices", "other.wasm"), "")
	write(t, filepath.Join(dir, "typo", ManifestFile), "name: typo\nwsm: x\n")
	write(t, filepath.Join(dir, "typo", "x.wasm"), "")
	write(t, filepath.Join(dir, "alone.wasm"), "")
	write(t, filepath.Join(dir, "Bad_Name.wasm"), "")
	write(t, filepath.Join(dir, "file.txt"), "")
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path       string
		name, wasm string
		built      bool
		fails      string
	}{
		{path: "prices", name: "prices", wasm: "prices/out/it.wasm"},
		{path: "prices/other.wasm", name: "other", wasm: "prices/other.wasm", built: true},
		{path: "alone.wasm", name: "alone", wasm: "alone.wasm", built: true},
		{path: "Bad_Name.wasm", name: "", wasm: "Bad_Name.wasm", built: true},
		{path: "typo", fails: `typo/plugin.yaml:2:1: wsm: unknown key; did you mean "wasm"?`},
		{path: "typo/x.wasm", fails: `did you mean "wasm"?`},
		{path: "empty", fails: "no plugin.yaml in"},
		{path: "file.txt", fails: "neither a folder nor a .wasm file"},
		{path: "gone", fails: "neither a folder nor a .wasm file"},
		{path: "gone.wasm", fails: "gone.wasm"},
	} {
		p, err := Open(filepath.Join(dir, filepath.FromSlash(test.path)))
		if test.fails != "" {
			if err == nil || !strings.Contains(filepath.ToSlash(err.Error()), test.fails) {
				t.Errorf("%s: %v, want an error with %q", test.path, err, test.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		wasm, _ := filepath.Rel(dir, p.Wasm)
		if p.Manifest.Name != test.name || filepath.ToSlash(wasm) != test.wasm || p.Built != test.built {
			t.Errorf("%s: name %q, wasm %s, built %t", test.path, p.Manifest.Name, wasm, p.Built)
		}
	}
}

func TestOpenModuleOfAProject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ManifestFile), "name: prices\n")
	wasm := write(t, filepath.Join(dir, "plugin.wasm"), "")
	p, err := Open(wasm)
	if err != nil || p.Manifest.Name != "prices" || !p.Built {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestOverride(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, ManifestFile), `
name: prices
fetch: {allow: [https://api.example.com], limits: {timeout: 3s}}
config: {region: eu, version: "1.0", date: "2026-01-02", sources: {a: x}, list: [1, 2.5, "007"]}
`)
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Override("search", []Setting{
		{"sources.b", "https://b.example.com/?q=1"}, {"n", "5"}, {"flag", "true"}, {"region", "null"}, {"deep.er.still", "[a, {b: c}]"}, {"n", "6"}, {"text", `"6"`},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"date":"2026-01-02","deep":{"er":{"still":["a",{"b":"c"}]}},"flag":true,"list":[1,2.5,"007"],"n":6,"region":null,
		"sources":{"a":"x","b":"https://b.example.com/?q=1"},"text":"6","version":"1.0"}`
	got, err := json.Marshal(p.Manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, want), decode(t, string(got))); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if p.Manifest.Name != "search" || len(p.Manifest.Fetch.Allow) != 1 || p.Manifest.Fetch.Limits.Timeout != 3e9 {
		t.Errorf("the rest changed: %s", p.Data)
	}
	before := string(p.Data)
	for _, bad := range []Setting{{"a..b", "1"}, {"", "1"}, {"n.x", "1"}, {"x", "{"}, {"x", ".inf"}} {
		var wrong *SettingError
		if err := p.Override("", []Setting{bad}); err == nil || bad.Value != ".inf" && !errors.As(err, &wrong) {
			t.Errorf("%+v: %v, manifest %s", bad, err, p.Data)
		}
	}
	if string(p.Data) != before {
		t.Errorf("a failed override changed the manifest: %s", p.Data)
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"prices": true, "a": true, "a-1": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, "": false, "A": false, "1a": false,
		"a_b": false, "a/b": false, "../a": false, "a\nwasm: x": false, "a: b": false, "{}": false,
	} {
		if err := CheckName(name); (err == nil) != good || err != nil && strings.Count(err.Error(), "plugin's name") != 1 {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}
