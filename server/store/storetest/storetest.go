// Package storetest holds implementations of store.Store to what that package promises.
//
//	func TestStore(t *testing.T) {
//		storetest.Suite(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
//	}
//
// What a suite over the interface can't see, such as what is left after a crash, an implementation tests itself.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/server/store"
)

// Suite runs every check as a subtest. open returns a new, empty store each time, and closes it at the test's end itself.
func Suite(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	checks := []struct {
		name  string
		check func(*testing.T, store.Store)
	}{
		{"Empty", testEmpty},
		{"PutAndGet", testPutAndGet},
		{"SameAgain", testSameAgain},
		{"SameAgainTakesTraffic", testSameAgainTakesTraffic},
		{"BackToAnOlderModule", testBackToAnOlderModule},
		{"WithoutTraffic", testWithoutTraffic},
		{"ListIsOrdered", testListIsOrdered},
		{"Delete", testDelete},
		{"DeleteKeepsSharedBlobs", testDeleteKeepsSharedBlobs},
		{"Names", testNames},
		{"BlobDigests", testBlobDigests},
		{"ResultsAreTheCallers", testResultsAreTheCallers},
		{"ConcurrentPutsOfOne", testConcurrentPutsOfOne},
		{"ConcurrentPutsOfMany", testConcurrentPutsOfMany},
		{"CancelledContext", testCancelledContext},
		{"Traffic", testTraffic},
		{"TrafficTables", testTrafficTables},
		{"Rollback", testRollback},
		{"Revisions", testRevisions},
		{"Retention", testRetention},
		{"Audit", testAudit},
		{"ConcurrentChanges", testConcurrentChanges},
		{"Tokens", testTokens},
		{"Secrets", testSecrets},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, open(t))
		})
	}
}

func put(t *testing.T, s store.Store, r store.PutRequest) (store.Version, bool) {
	t.Helper()
	done, err := s.Put(t.Context(), r)
	if err != nil {
		t.Fatalf("Put(%s): %v", r.Name, err)
	}
	return done.Version, done.Created
}

func get(t *testing.T, s store.Store, name string) store.Plugin {
	t.Helper()
	p, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get(%s): %v", name, err)
	}
	return p
}

func request(name, wasm string) store.PutRequest {
	return store.PutRequest{Change: store.Change{Name: name, By: "test"}, Manifest: []byte("name: " + name), Wasm: []byte(wasm), Traffic: true}
}

func remove(name string) store.DeleteRequest {
	return store.DeleteRequest{Change: store.Change{Name: name, By: "test"}}
}

func numbers(p store.Plugin) []int {
	var all []int
	for _, v := range p.Versions {
		all = append(all, v.Number)
	}
	return all
}

func testEmpty(t *testing.T, s store.Store) {
	all, err := s.List(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v; want none", all, err)
	}
	if _, err := s.Get(t.Context(), "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), remove("nobody")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Delete = %v, want ErrNotFound", err)
	}
}

func testPutAndGet(t *testing.T, s store.Store) {
	before := time.Now().Add(-time.Second)
	manifest := []byte("name: a\n# \xff\x00 kept byte for byte\n")
	v1, created := put(t, s, store.PutRequest{Change: store.Change{Name: "a", By: "me", Note: "first"}, Manifest: manifest, Wasm: []byte("one"), Traffic: true})
	if !created || v1.Number != 1 || v1.Digest != store.Digest([]byte("one")) || !bytes.Equal(v1.Manifest, manifest) {
		t.Errorf("first version = %+v, created %v", v1, created)
	}
	if v1.Created.Before(before) || v1.Created.After(time.Now().Add(time.Second)) {
		t.Errorf("created at %v", v1.Created)
	}
	v2, created := put(t, s, request("a", "two"))
	if !created || v2.Number != 2 {
		t.Errorf("second version = %+v, created %v", v2, created)
	}
	if v1.By != "me" || v1.Note != "first" {
		t.Errorf("by %q, for %q", v1.By, v1.Note)
	}
	want := store.Plugin{
		Name: "a", Revision: 2, Last: 2, Versions: []store.Version{v1, v2}, Traffic: []store.Weight{{Version: 2, Weight: 100}},
		Previous: []store.Weight{{Version: 1, Weight: 100}},
	}
	if diff := cmp.Diff(want, get(t, s, "a")); diff != "" {
		t.Errorf("Get (-want +got):\n%s", diff)
	}
	for _, wasm := range []string{"one", "two"} {
		got, err := s.Blob(t.Context(), store.Digest([]byte(wasm)))
		if err != nil || string(got) != wasm {
			t.Errorf("Blob(%s) = %q, %v", wasm, got, err)
		}
	}
}

func testSameAgain(t *testing.T, s store.Store) {
	first, _ := put(t, s, request("a", "one"))
	again, created := put(t, s, request("a", "one"))
	if created {
		t.Error("the same module and manifest made a version")
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same again (-first +again):\n%s", diff)
	}
	other := request("a", "one")
	other.Manifest = []byte("name: a\naccess: public")
	if v, created := put(t, s, other); !created || v.Number != 2 {
		t.Errorf("another manifest: version %d, created %v; want a second version", v.Number, created)
	}
}

func testSameAgainTakesTraffic(t *testing.T, s store.Store) {
	r := request("a", "one")
	r.Traffic = false
	put(t, s, r)
	r.Traffic = true
	if _, created := put(t, s, r); created {
		t.Error("the same again made a version")
	}
	want := []store.Weight{{Version: 1, Weight: 100}}
	if diff := cmp.Diff(want, get(t, s, "a").Traffic); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
}

func testBackToAnOlderModule(t *testing.T, s store.Store) {
	put(t, s, request("a", "one"))
	put(t, s, request("a", "two"))
	if v, created := put(t, s, request("a", "one")); created || v.Number != 1 {
		t.Errorf("version %d, created %v; want version 1 again", v.Number, created)
	}
	want := []store.Weight{{Version: 1, Weight: 100}}
	if diff := cmp.Diff(want, get(t, s, "a").Traffic); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
	if v, created := put(t, s, request("a", "three")); !created || v.Number != 3 {
		t.Errorf("version %d, created %v; want version 3", v.Number, created)
	}
}

func testWithoutTraffic(t *testing.T, s store.Store) {
	r := request("a", "one")
	r.Traffic = false
	put(t, s, r)
	if w := get(t, s, "a").Traffic; len(w) != 0 {
		t.Errorf("traffic = %v, want none", w)
	}
	put(t, s, request("a", "two"))
	r.Wasm = []byte("three")
	put(t, s, r)
	want := []store.Weight{{Version: 2, Weight: 100}}
	if diff := cmp.Diff(want, get(t, s, "a").Traffic); diff != "" {
		t.Errorf("traffic (-want +got):\n%s", diff)
	}
}

func testListIsOrdered(t *testing.T, s store.Store) {
	for _, name := range []string{"b", "a-1", "c", "a"} {
		put(t, s, request(name, name))
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range all {
		got = append(got, p.Name)
		if diff := cmp.Diff(get(t, s, p.Name), p); diff != "" {
			t.Errorf("List and Get differ (-get +list):\n%s", diff)
		}
	}
	if want := []string{"a", "a-1", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, request("a", "one"))
	put(t, s, request("a", "two"))
	if err := s.Delete(t.Context(), remove("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get after Delete = %v, want ErrNotFound", err)
	}
	for _, wasm := range []string{"one", "two"} {
		if _, err := s.Blob(t.Context(), store.Digest([]byte(wasm))); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Blob(%s) after Delete = %v, want ErrNotFound", wasm, err)
		}
	}
	if v, created := put(t, s, request("a", "two")); !created || v.Number != 1 {
		t.Errorf("after Delete: version %d, created %v; want 1, true", v.Number, created)
	}
}

func testDeleteKeepsSharedBlobs(t *testing.T, s store.Store) {
	put(t, s, request("a", "shared"))
	put(t, s, request("b", "shared"))
	if err := s.Delete(t.Context(), remove("a")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Blob(t.Context(), store.Digest([]byte("shared")))
	if err != nil || string(got) != "shared" {
		t.Errorf("Blob = %q, %v; another plugin still uses it", got, err)
	}
}

func testNames(t *testing.T, s store.Store) {
	for _, name := range []string{
		"", "A", "1a", "-a", "a_b", "a.b", "a/b", "../a", "..", "a\x00", "é", "a ", strings.Repeat("a", 64),
	} {
		if _, err := s.Put(t.Context(), request(name, "x")); !errors.Is(err, store.ErrInvalidName) {
			t.Errorf("Put(%q) = %v, want ErrInvalidName", name, err)
		}
		if _, err := s.Get(t.Context(), name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get(%q) = %v, want ErrNotFound", name, err)
		}
		if err := s.Delete(t.Context(), remove(name)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Delete(%q) = %v, want ErrNotFound", name, err)
		}
	}
	for _, name := range []string{"a", "a-", "a1-b", strings.Repeat("a", 63)} {
		put(t, s, request(name, "x"))
	}
}

func testBlobDigests(t *testing.T, s store.Store) {
	put(t, s, request("a", "one"))
	good := store.Digest([]byte("one"))
	for _, digest := range []string{
		"", "sha256:", "sha256:zz", strings.ToUpper(good), good[len("sha256:"):], "sha512" + good[len("sha256"):],
		"sha256:../../../plugins/a.json", good + "0", store.Digest([]byte("never put")),
	} {
		if _, err := s.Blob(t.Context(), digest); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Blob(%q) = %v, want ErrNotFound", digest, err)
		}
	}
}

func testResultsAreTheCallers(t *testing.T, s store.Store) {
	r := request("a", "one")
	put(t, s, r)
	want := get(t, s, "a")
	for i := range r.Manifest {
		r.Manifest[i], r.Wasm[i%len(r.Wasm)] = 'X', 'X'
	}
	got := get(t, s, "a")
	got.Versions[0].Manifest[0] = 'X'
	got.Traffic[0].Weight = 1
	got.Versions[0].Number = 9
	if diff := cmp.Diff(want, get(t, s, "a")); diff != "" {
		t.Errorf("what the caller changed is in the store (-want +got):\n%s", diff)
	}
	blob, err := s.Blob(t.Context(), want.Versions[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	blob[0] = 'X'
	if again, err := s.Blob(t.Context(), want.Versions[0].Digest); err != nil || string(again) != "one" {
		t.Errorf("Blob = %q, %v", again, err)
	}
}

func testConcurrentPutsOfOne(t *testing.T, s store.Store) {
	const writers, each = 8, 5
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				r := request("a", fmt.Sprint(w, "-", i))
				if done, err := s.Put(t.Context(), r); err != nil || !done.Created || done.Version.Digest != store.Digest(r.Wasm) {
					t.Errorf("Put = %+v, %v", done, err)
				}
			}
		})
	}
	group.Wait()
	p := get(t, s, "a")
	want := make([]int, writers*each)
	for i := range want {
		want[i] = i + 1
	}
	if diff := cmp.Diff(want, numbers(p)); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]store.Weight{{Version: writers * each, Weight: 100}}, p.Traffic); diff != "" {
		t.Errorf("the last put takes the traffic (-want +got):\n%s", diff)
	}
	for _, v := range p.Versions {
		if _, err := s.Blob(t.Context(), v.Digest); err != nil {
			t.Errorf("version %d: %v", v.Number, err)
		}
	}
}

// testConcurrentPutsOfMany has plugins that share modules come and go at the same time.
func testConcurrentPutsOfMany(t *testing.T, s store.Store) {
	var group sync.WaitGroup
	for w := range 6 {
		name := fmt.Sprintf("p%d", w)
		group.Go(func() {
			for i := range 8 {
				done, err := s.Put(t.Context(), request(name, fmt.Sprint("module ", i%2)))
				if err != nil {
					t.Errorf("Put: %v", err)
				}
				if _, err := s.Blob(t.Context(), done.Version.Digest); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := s.List(t.Context()); err != nil {
					t.Errorf("List: %v", err)
				}
				if err := s.Delete(t.Context(), remove(name)); err != nil {
					t.Errorf("Delete: %v", err)
				}
			}
		})
	}
	group.Wait()
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v; want none", all, err)
	}
}

func testCancelledContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, request("a", "one")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v; a cancelled Put changed the store", all, err)
	}
}
