package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
)

func TestArchiveIsInStepWithTheFolders(t *testing.T) {
	t.Parallel()
	want, err := Pack(os.DirFS("../../../.."))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(archive, want) {
		t.Fatal("bundle.txtar is out of date: run go generate ./server/internal/project/bundle")
	}
}

func TestArchiveHoldsWhatABuildNeeds(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, file := range txtar.Parse(archive).Files {
		names[file.Name] = true
	}
	for _, name := range []string{"sdk/go/go.mod", "plugins/go.mod", "plugins/aggregate/plugin.yaml", "plugins/crawl/plugin.yaml"} {
		if !names[name] {
			t.Errorf("the archive lacks %s", name)
		}
	}
	for name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".wasm") {
			t.Errorf("the archive holds %s", name)
		}
	}
}

func TestPack(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	root := fstest.MapFS{
		"sdk/go/go.mod":                     file("module sdk\n"),
		"sdk/go/sortie.go":                  file("package sortie\n"),
		"sdk/go/sortie_test.go":             file("package sortie\n"),
		"sdk/go/testdata/x.go":              file("package x\n"),
		"sdk/go/sortietest/host.go":         file("package sortietest\n"),
		"sdk/go/README.md":                  file("# no\n"),
		"sdk/go/.hidden":                    file("no\n"),
		"plugins/go.mod":                    file("module plugins\n"),
		"plugins/crawl/plugin.wasm":         file("no"),
		"plugins/crawl/plugin.yaml":         file("name: crawl\n"),
		"server/internal/project/bundle.go": file("package no\n"),
	}
	data, err := Pack(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range txtar.Parse(data).Files {
		names = append(names, file.Name)
	}
	want := "plugins/crawl/plugin.yaml plugins/go.mod sdk/go/go.mod sdk/go/sortie.go sdk/go/sortietest/host.go"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("packed %s, want %s", got, want)
	}
	for _, bad := range []string{"package sortie", "package sortie\n-- other.go --\n"} {
		root["sdk/go/sortie.go"] = file(bad)
		if _, err := Pack(root); err == nil || !strings.Contains(err.Error(), "sdk/go/sortie.go") {
			t.Errorf("Pack of %q: %v, want an error that names the file", bad, err)
		}
	}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Extract(SDK, dir); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../../sdk/go/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "sdk", "go", "go.mod"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("sdk/go/go.mod: %q, %v, want %q", got, err, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "plugins")); err == nil {
		t.Error("the plugins were written too")
	}
	if err := Extract("sdk/js", dir); err == nil {
		t.Error("a folder that isn't carried: no error")
	}
	if len(Digest()) != 64 {
		t.Errorf("digest %q", Digest())
	}
}
