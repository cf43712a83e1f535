package rewrite

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// shelved is a module as it is kept.
func shelved(t testing.TB, wasm []byte, o Options) *Kept {
	t.Helper()
	m, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return &Kept{Outline: m.Outline, Options: o, Rewritten: *m.Rewrite(o)}
}

var (
	filled  = module(types, imports, memory, exports, []byte{sectionData, 2, 0, 0x41, 1, 0x0b, 2, 'a', 'b', 1, 2, 'c', 'd'})
	someWay = Options{
		Redirect: []string{"there", ""}, TableEntries: 100, Expose: "x:", Detach: true, Fuel: Fuel{Module: "fuel", Name: "tick", Interval: 7},
	}
)

func TestShelf(t *testing.T) {
	t.Parallel()
	s := Shelf(filepath.Join(t.TempDir(), "not", "there"))
	if _, found := s.Find(filled, 100); found {
		t.Fatal("found what was never put")
	}
	want := shelved(t, filled, someWay)
	if len(want.Data) == 0 || want.Unfueled != "" {
		t.Fatalf("the module keeps nothing of interest: %+v", want.Rewritten)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.Put(filled, want); err != nil {
				t.Error(err)
			}
			if _, found := s.Find(filled, 100); !found {
				t.Error("not found what was put")
			}
		})
	}
	all.Wait()
	got, found := s.Find(filled, 100)
	if !found {
		t.Fatal("not found what was put")
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Kept{}, Import{}), cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if !got.Options.Equal(someWay) {
		t.Error("the options aren't equal to themselves")
	}
	for name, other := range map[string]struct {
		wasm    []byte
		entries uint64
	}{"another module": {module(types), 100}, "other bounds": {filled, 99}, "a longer one": {append(bytes.Clone(filled), 0), 100}} {
		if _, found := s.Find(other.wasm, other.entries); found {
			t.Errorf("%s was found", name)
		}
	}
	files, err := os.ReadDir(string(s))
	if err != nil || len(files) != 1 {
		t.Fatalf("it has %v, %v; want one file", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read or write it: %v, %v", info.Mode(), err)
	}
	if _, found := Shelf("").Find(filled, 100); found {
		t.Error("found in no folder")
	}
	if err := Shelf("").Put(filled, want); err != nil {
		t.Error(err)
	}
	if err := Shelf(s.path(filled, 100)).Put(filled, want); err == nil {
		t.Error("put into a file")
	}
}

// TestDamagedShelf checks that whatever happens to a file, it isn't taken for what was put, and the next Put mends it.
func TestDamagedShelf(t *testing.T) {
	t.Parallel()
	s := Shelf(t.TempDir())
	want := shelved(t, filled, someWay)
	if err := s.Put(filled, want); err != nil {
		t.Fatal(err)
	}
	file := s.path(filled, 100)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(how string, at int, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, found := s.Find(filled, 100); found {
			t.Errorf("found though %s at %d", how, at)
		}
	}
	for i := range good {
		check("cut off", i, good[:i])
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		check("changed", i, bad)
	}
	check("continued", len(good), append(bytes.Clone(good), 0))
	if err := s.Put(filled, want); err != nil {
		t.Fatal(err)
	}
	if k, found := s.Find(filled, 100); !found || !bytes.Equal(k.Wasm, want.Wasm) {
		t.Error("it isn't mended")
	}
}

func TestOptionsEqual(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"redirect": func(o *Options) { o.Redirect = []string{"", "there"} }, "entries": func(o *Options) { o.TableEntries++ },
		"expose": func(o *Options) { o.Expose = "" }, "detach": func(o *Options) { o.Detach = false }, "lazy": func(o *Options) { o.LazyTable = 9 }, "typed": func(o *Options) { o.TypedReferences = true }, "fuel": func(o *Options) { o.Fuel.Interval++ },
	} {
		o := someWay
		if change(&o); o.Equal(someWay) {
			t.Errorf("%s: equal to another", name)
		}
	}
}

// TestSources checks that a change of any file of this package makes what was kept before of no use.
func TestSources(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
	var got []string
	embedded, err := sources.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range embedded {
		got = append(got, f.Name())
	}
	if d := cmp.Diff(files, got); d != "" {
		t.Errorf("shelf.go embeds other files than there are: %s", d)
	}
}

func FuzzKept(f *testing.F) {
	parts, err := shelved(f, filled, someWay).encode()
	if err != nil {
		f.Fatal(err)
	}
	good := bytes.Join(parts, nil)
	f.Add(good[keptPrefix:], uint32(len(parts[1])))
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, body []byte, head uint32) {
		n := min(int(head), len(body))
		k, err := decodeKept(append(seal([][]byte{body[:n], body[n:]}), body...))
		if err != nil {
			return
		}
		n = len(k.Wasm)
		for _, s := range k.Data {
			n += len(s.Bytes)
		}
		if n > len(body) {
			t.Fatalf("%d bytes out of %d", n, len(body))
		}
	})
}
