package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/hosttest"
)

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yaml := filepath.Join(dir, "plugin.yaml")
	if err := os.WriteFile(yaml, []byte("name: guest\nconfig: {region: eu}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin.wasm"), hosttest.Build(t, "../../host/testdata/guest"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(context.Background(), []string{yaml, "/state"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "200 1\n") || !strings.Contains(got, `"plugin": "guest"`) {
		t.Error(got)
	}
}
