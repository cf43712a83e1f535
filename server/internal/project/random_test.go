package project

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestGlobalRandom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module p\n\ngo 1.26\n",
		"a.go": `package main

import (
	"math/rand/v2"
	old "math/rand"
	"time"
)

func main() {
	_ = rand.IntN(5)
	_ = rand.New(rand.NewPCG(1, 2)).IntN(5)
	old.Shuffle(1, func(int, int) {})
	_ = rand.N[time.Duration](5)
}
`,
		"b.go": `package main

type source struct{}

func (source) IntN(int) int { return 1 }

var rand source

var _ = rand.IntN(5)
`,
		"c_test.go": "package main\n\nimport \"math/rand\"\n\nvar _ = rand.Int()\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a.go:10: rand.IntN", "a.go:12: old.Shuffle", "a.go:13: rand.N"}
	if got := GlobalRandom(t.Context(), dir, os.Environ()); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
