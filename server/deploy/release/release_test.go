package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-version", "1.2.3"}, {"-version", "v1.2"}, {"-version", "v1.2.3 -X main.x=y"}, {"-version", "v01.2.3"}, {"-version", "latest"},
		{"-targets", "linux"}, {"-targets", "linux/amd64,../x"}, {"-targets", ""}, {"-plain"}, {"-nonsense"}, {"v1.2.3"},
	} {
		if status := run(t.Context(), append(args, "-out", filepath.Join(t.TempDir(), "out")), io.Discard, io.Discard); status != 2 {
			t.Errorf("%q: status %d", args, status)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*release{
		"sortie-v1.2.3-windows-amd64.exe": {version: "v1.2.3", targets: []string{"windows/amd64"}},
		"sortie-devel-linux-arm64":        {targets: []string{"linux/arm64"}},
		"sortie":                          {version: "v1.2.3", plain: true, targets: []string{"linux/amd64"}},
		"sortie.exe":                      {plain: true, targets: []string{"windows/amd64"}},
	} {
		if got := r.name(r.targets[0]); got != want {
			t.Errorf("%+v is named %s, want %s", r, got, want)
		}
	}
}

// TestBuildEnv: what decides which code comes out is the same whatever the machine has set, and the rest is left alone.
func TestBuildEnv(t *testing.T) {
	t.Parallel()
	bare := buildEnv([]string{"HOME=/h", "GOPROXY=off"})
	other := buildEnv([]string{
		"HOME=/h", "GOPROXY=off", "GOAMD64=v4", "GOARM64=v9.0", "GOEXPERIMENT=x", "GOFLAGS=-race", "CGO_ENABLED=1", "GOOS=plan9", "GOWORK=/w", "GOFIPS140=latest",
	})
	slices.Sort(bare)
	slices.Sort(other)
	if !slices.Equal(bare, other) || !slices.Contains(bare, "HOME=/h") || !slices.Contains(bare, "CGO_ENABLED=0") {
		t.Errorf("the environments differ: %q and %q", bare, other)
	}
}

func TestWriteSums(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeSums([]string{filepath.Join(dir, "none")}, filepath.Join(dir, sums)); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeSums([]string{filepath.Join(dir, "a")}, filepath.Join(dir, sums)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, sums))
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, appendix B.1
	if err != nil || strings.TrimSpace(string(text)) != abc+"  a" {
		t.Errorf("%q, %v", text, err)
	}
}
