package host_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/manifest"
)

// starting loads a guest in a runtime of its own that uses a cache, has it answer, and ends it all.
func starting(t testing.TB, dir, cache, yaml string) (answer string, err error) {
	t.Helper()
	m, err := manifest.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	engine := fetch.New(fetch.Config{})
	defer engine.Close()
	ctx := context.Background()
	rt, err := host.New(ctx, host.Config{Engine: engine, CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	p, err := rt.Load(ctx, host.Source{Name: "guest", Version: 1, Wasm: hosttest.Build(t, dir), Manifest: m})
	if err != nil {
		return "", err
	}
	answer, _ = call(t, p, "/echo", "a", "b")
	return p.Kind() + " " + p.Unfit() + " " + answer, nil
}

// TestSecondStart checks that what the first start of a plugin left is used by the second, makes no difference, and is made anew if it's damaged.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	for dir, entry := range map[string]string{guestDir: "", rawDir: "entry: echo\n"} {
		cache := t.TempDir()
		yaml := "limits: {memory: 64MiB}\n" + entry
		kept := func() (string, os.FileInfo, []byte) {
			files, err := filepath.Glob(filepath.Join(cache, "rewritten", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%s: kept are %v, %v", dir, files, err)
			}
			info, err := os.Stat(files[0])
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			return files[0], info, data
		}
		first, err := starting(t, dir, cache, yaml)
		if err != nil {
			t.Fatal(err)
		}
		file, made, good := kept()
		second, err := starting(t, dir, cache, yaml)
		if err != nil || second != first {
			t.Errorf("%s: the second start answers %q, %v; the first %q", dir, second, err, first)
		}
		if _, again, _ := kept(); !os.SameFile(made, again) || !again.ModTime().Equal(made.ModTime()) {
			t.Errorf("%s: the second start wrote it again", dir)
		}
		if err := os.WriteFile(file, good[:len(good)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		third, err := starting(t, dir, cache, yaml)
		if err != nil || third != first {
			t.Errorf("%s: with half a file it answers %q, %v; before %q", dir, third, err, first)
		}
		if _, _, mended := kept(); !bytes.Equal(mended, good) {
			t.Errorf("%s: it isn't mended", dir)
		}
		// What is kept is judged as what is new: here under a manifest that asks for another entry.
		_, err = starting(t, dir, cache, "limits: {memory: 64MiB}\nentry: missing\n")
		if e, ok := errors.AsType[*host.Error](err); !ok || e.Code != host.CodeInvalidWasm {
			t.Errorf("%s: an entry that isn't there: %v", dir, err)
		}
	}
}

// BenchmarkLoad compares loading a plugin whose code is compiled with what a former start kept of it and without.
func BenchmarkLoad(b *testing.B) {
	m, err := manifest.Parse([]byte("{}"))
	if err != nil {
		b.Fatal(err)
	}
	wasm := hosttest.Build(b, guestDir)
	for _, kept := range []string{"kept", "anew"} {
		b.Run(kept, func(b *testing.B) {
			cache := b.TempDir()
			engine := fetch.New(fetch.Config{})
			defer engine.Close()
			rt, err := host.New(context.Background(), host.Config{Engine: engine, CacheDir: cache})
			if err != nil {
				b.Fatal(err)
			}
			load := func() {
				p, err := rt.Load(context.Background(), host.Source{Name: "guest", Version: 1, Wasm: wasm, Manifest: m})
				if err == nil {
					err = p.Close(context.Background())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			load()
			for b.Loop() {
				if kept == "anew" {
					b.StopTimer()
					if err := os.RemoveAll(filepath.Join(cache, "rewritten")); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				load()
			}
			if err := rt.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
