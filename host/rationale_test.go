package host_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Comments point at RATIONALE.md by its questions: each must be there.
func TestRationaleHasWhatCodePointsAt(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("RATIONALE.md")
	if err != nil {
		t.Fatal(err)
	}
	broken := regexp.MustCompile(`\n\s*//\s*`) // a comment that goes on
	pointer := regexp.MustCompile(`RATIONALE\.md, "([^"]+)"`)
	found := 0
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range pointer.FindAllStringSubmatch(broken.ReplaceAllString(string(code), " "), -1) {
			found++
			if question := strings.TrimSuffix(m[1], "."); !strings.Contains(string(text), "\n## "+question+"\n") {
				t.Errorf("%s points at %q", path, question)
			}
		}
		return err
	})
	if err != nil || found < 5 {
		t.Errorf("%d pointers found, %v", found, err)
	}
}
