package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSweep fills a cache with more than it may hold: what was used longest ago goes, and what is half written.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	put := func(name string, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (names []string) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				names = append(names, e.Name())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return names
	}
	for n := range 6 {
		put(fmt.Sprintf("wazero/%d", n), time.Duration(n+2)*time.Hour)
	}
	put("rewritten/fresh", 0)
	put("rewritten/.new-old", 2*time.Hour)
	put("rewritten/.new-fresh", 0)
	put("wazero/x.tmp", 2*time.Hour)
	if freed, err := sweepCache(t.Context(), dir, 1000, now); err != nil || freed != 200 {
		t.Errorf("with room left: %d bytes freed, %v; want the two that are half written", freed, err)
	}
	if freed, err := sweepCache(t.Context(), dir, 700, now); err != nil || freed != 300 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if got := fmt.Sprint(left()); got != "[.new-fresh 0 1 2 fresh]" {
		t.Errorf("left: %s", got)
	}
	if freed, err := sweepCache(t.Context(), dir, 0, now); err != nil || freed != 300 {
		t.Errorf("%d bytes freed, %v", freed, err)
	}
	if got := fmt.Sprint(left()); got != "[.new-fresh fresh]" {
		t.Errorf("what was used just now went too: %s", got)
	}
	if _, err := sweepCache(t.Context(), filepath.Join(dir, "nowhere"), 1, now); err == nil {
		t.Error("a folder that isn't there was swept")
	}
}
