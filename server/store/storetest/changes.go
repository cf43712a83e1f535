package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/server/store"
)

func change(name string) store.Change { return store.Change{Name: name, By: "test"} }

func move(name string, table ...store.Weight) store.TrafficRequest {
	return store.TrafficRequest{Change: change(name), Table: table}
}

func back(name string, version int) store.RollbackRequest {
	return store.RollbackRequest{Change: change(name), Version: version}
}

func all(version int) []store.Weight { return []store.Weight{{Version: version, Weight: 100}} }

// three stores three versions of "a", of which the last takes all traffic.
func three(t *testing.T, s store.Store) {
	t.Helper()
	for _, wasm := range []string{"one", "two", "three"} {
		put(t, s, request("a", wasm))
	}
}

func testTraffic(t *testing.T, s store.Store) {
	three(t, s)
	p, err := s.SetTraffic(t.Context(), move("a", store.Weight{Version: 3, Weight: 10}, store.Weight{Version: 2}, store.Weight{Version: 1, Weight: 90}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Weight{{Version: 1, Weight: 90}, {Version: 3, Weight: 10}}, p.Traffic); diff != "" {
		t.Errorf("the table, ascending and without what has no weight (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all(3), p.Previous); diff != "" {
		t.Errorf("the table before (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(p, get(t, s, "a")); diff != "" {
		t.Errorf("what was returned, and what is stored:\n%s", diff)
	}
	// The same table again is no change, and leaves the one before it.
	again, err := s.SetTraffic(t.Context(), move("a", p.Traffic...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, again); diff != "" {
		t.Errorf("the same table again (-before +after):\n%s", diff)
	}
}

func testTrafficTables(t *testing.T, s store.Store) {
	if _, err := s.SetTraffic(t.Context(), move("nobody", all(1)...)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	three(t, s)
	before := get(t, s, "a")
	for _, table := range [][]store.Weight{
		nil, {{Version: 1, Weight: 99}}, {{Version: 1, Weight: 50}, {Version: 2, Weight: 51}}, {{Version: 1, Weight: 101}, {Version: 2, Weight: -1}},
		{{Version: 1, Weight: 50}, {Version: 1, Weight: 50}}, {{Version: 1, Weight: 1 << 62}, {Version: 2, Weight: -(1 << 62) + 100}},
	} {
		if _, err := s.SetTraffic(t.Context(), move("a", table...)); !errors.Is(err, store.ErrTraffic) {
			t.Errorf("%v: %v, want ErrTraffic", table, err)
		}
	}
	for _, version := range []int{0, 4, -1} {
		_, err := s.SetTraffic(t.Context(), move("a", store.Weight{Version: version, Weight: 100}))
		var missing *store.VersionError
		if !errors.As(err, &missing) || missing.Version != version || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("version %d: %v, want a VersionError", version, err)
		}
	}
	if diff := cmp.Diff(before, get(t, s, "a")); diff != "" {
		t.Errorf("a refused table changed the plugin (-before +after):\n%s", diff)
	}
}

func testRollback(t *testing.T, s store.Store) {
	put(t, s, request("a", "one"))
	if _, err := s.Rollback(t.Context(), back("a", 0)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("with nothing before: %v, want ErrConflict", err)
	}
	put(t, s, request("a", "two"))
	for i, want := range []int{1, 2, 1} { // there, and back again
		p, err := s.Rollback(t.Context(), back("a", 0))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all(want), p.Traffic); diff != "" {
			t.Errorf("rollback %d (-want +got):\n%s", i, diff)
		}
	}
	put(t, s, request("a", "three"))
	p, err := s.Rollback(t.Context(), back("a", 2))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all(2), p.Traffic); diff != "" {
		t.Errorf("to version 2 (-want +got):\n%s", diff)
	}
	if _, err := s.Rollback(t.Context(), back("a", 9)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("to version 9: %v, want ErrNotFound", err)
	}
	if _, err := s.Rollback(t.Context(), back("b", 0)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v, want ErrNotFound", err)
	}
}

// testRevisions has each kind of change expect a revision: the present one is all it's made at, and what was deleted and made again isn't
// what it was.
func testRevisions(t *testing.T, s store.Store) {
	three(t, s)
	changes := map[string]func(expect int64) error{
		"put": func(expect int64) error {
			r := request("a", fmt.Sprint("expecting ", expect))
			r.Expect = expect
			_, err := s.Put(t.Context(), r)
			return err
		},
		"traffic": func(expect int64) error {
			r := move("a", store.Weight{Version: 1, Weight: 50}, store.Weight{Version: 2, Weight: 50})
			r.Expect = expect
			_, err := s.SetTraffic(t.Context(), r)
			return err
		},
		"rollback": func(expect int64) error {
			r := back("a", 3)
			r.Expect = expect
			_, err := s.Rollback(t.Context(), r)
			return err
		},
		"delete": func(expect int64) error {
			r := remove("a")
			r.Expect = expect
			return s.Delete(t.Context(), r)
		},
	}
	for _, name := range []string{"put", "traffic", "rollback", "delete"} {
		now := get(t, s, "a").Revision
		for _, wrong := range []int64{now - 1, now + 1} {
			if err := changes[name](wrong); !errors.Is(err, store.ErrConflict) {
				t.Errorf("%s at revision %d of %d: %v, want ErrConflict", name, wrong, now, err)
			}
		}
		if got := get(t, s, "a").Revision; got != now {
			t.Errorf("%s: a refused change made revision %d of %d", name, got, now)
		}
		if err := changes[name](now); err != nil {
			t.Errorf("%s at revision %d: %v", name, now, err)
		}
	}
	r := request("a", "new")
	r.Expect = 1
	if _, err := s.Put(t.Context(), r); !errors.Is(err, store.ErrConflict) {
		t.Errorf("put after delete, expecting revision 1: %v, want ErrConflict", err)
	}
	put(t, s, request("a", "one"))
	if err := changes["delete"](1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("delete of another life's revision: %v, want ErrConflict", err)
	}
}

func testRetention(t *testing.T, s store.Store) {
	for i := range 5 { // version 1 keeps a share, version 2 is in the table before
		r := request("a", fmt.Sprint("module ", i+1))
		r.Traffic = i < 2
		put(t, s, r)
	}
	if _, err := s.SetTraffic(t.Context(), move("a", store.Weight{Version: 1, Weight: 100})); err != nil {
		t.Fatal(err)
	}
	r := request("a", "module 6")
	r.Traffic, r.Keep = false, store.Retention{Versions: 2}
	put(t, s, r)
	p := get(t, s, "a")
	if diff := cmp.Diff([]int{1, 2, 5, 6}, numbers(p)); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for i := range 6 {
		_, err := s.Blob(t.Context(), store.Digest(fmt.Appendf(nil, "module %d", i+1)))
		if _, kept := p.Version(i + 1); kept != (err == nil) {
			t.Errorf("version %d: kept %v, its module: %v", i+1, kept, err)
		}
	}
	r = request("a", "module 7")
	r.Traffic, r.Keep = false, store.Retention{Age: time.Nanosecond}
	put(t, s, r)
	if diff := cmp.Diff([]int{1, 2, 7}, numbers(get(t, s, "a"))); diff != "" {
		t.Errorf("versions that are young enough (-want +got):\n%s", diff)
	}
	if v, created := put(t, s, request("a", "module 6")); !created || v.Number != 8 {
		t.Errorf("a pruned module again: version %d, created %v; want 8, true", v.Number, created)
	}
}

func audit(t *testing.T, s store.Store, q store.AuditQuery) []store.Event {
	t.Helper()
	events, err := s.Audit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func testAudit(t *testing.T, s store.Store) {
	if events := audit(t, s, store.AuditQuery{}); len(events) != 0 {
		t.Errorf("events of nothing: %v", events)
	}
	before := time.Now().Add(-time.Second)
	r := request("a", "one")
	r.Note = "why"
	put(t, s, r)
	put(t, s, r) // no change
	put(t, s, request("b", "one"))
	put(t, s, request("a", "two"))
	put(t, s, request("a", "one")) // moves the traffic, and makes no version
	if _, err := s.Rollback(t.Context(), back("a", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetTraffic(t.Context(), move("a", all(1)...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), remove("b")); err != nil {
		t.Fatal(err)
	}
	one, two := store.Digest([]byte("one")), store.Digest([]byte("two"))
	want := []store.Event{
		{Seq: 1, By: "test", Action: store.ActionDeploy, Plugin: "a", Version: 1, Digest: one, Created: true, Traffic: all(1), Note: "why"},
		{Seq: 2, By: "test", Action: store.ActionDeploy, Plugin: "b", Version: 1, Digest: one, Created: true, Traffic: all(1)},
		{Seq: 3, By: "test", Action: store.ActionDeploy, Plugin: "a", Version: 2, Digest: two, Created: true, Traffic: all(2)},
		{Seq: 4, By: "test", Action: store.ActionDeploy, Plugin: "a", Version: 1, Digest: one, Traffic: all(1)},
		{Seq: 5, By: "test", Action: store.ActionRollback, Plugin: "a", Traffic: all(2)},
		{Seq: 6, By: "test", Action: store.ActionTraffic, Plugin: "a", Traffic: all(1)},
		{Seq: 7, By: "test", Action: store.ActionRemove, Plugin: "b"},
	}
	events := audit(t, s, store.AuditQuery{})
	for i := range events {
		if at := events[i].Time; at.Before(before) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("event %d at %v", i+1, at)
		}
		events[i].Time = time.Time{}
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		q           store.AuditQuery
		first, last int64
	}{
		{store.AuditQuery{Limit: 2}, 6, 7}, {store.AuditQuery{After: 2, Limit: 2}, 3, 4}, {store.AuditQuery{After: 6}, 7, 7},
		{store.AuditQuery{Plugin: "b"}, 2, 7}, {store.AuditQuery{Plugin: "a", Limit: 1}, 6, 6}, {store.AuditQuery{After: 7}, 0, 0},
	} {
		got := audit(t, s, c.q)
		var first, last int64
		if len(got) > 0 {
			first, last = got[0].Seq, got[len(got)-1].Seq
		}
		if first != c.first || last != c.last {
			t.Errorf("%+v: events %d to %d, want %d to %d", c.q, first, last, c.first, c.last)
		}
	}
	Replays(t, s)
}

// Replays checks that the store's events, none of which may have been dropped, lead to what is stored.
func Replays(t *testing.T, s store.Store) {
	t.Helper()
	replayed, err := store.Replay(audit(t, s, store.AuditQuery{Limit: 1 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	plugins, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]store.Replayed{}
	for _, p := range plugins {
		versions := map[int]string{}
		for _, v := range p.Versions {
			versions[v.Number] = v.Digest
		}
		want[p.Name] = store.Replayed{Versions: versions, Traffic: p.Traffic}
	}
	if diff := cmp.Diff(want, replayed); diff != "" {
		t.Errorf("the events lead elsewhere (-stored +replayed):\n%s", diff)
	}
}

// testConcurrentChanges has many change the same two plugins in every way at once.
func testConcurrentChanges(t *testing.T, s store.Store) {
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 0))
			for range 12 {
				if err := anyChange(t, s, random, []string{"a", "b"}[random.IntN(2)]); err != nil &&
					!errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	Replays(t, s)
}

func anyChange(t *testing.T, s store.Store, random *rand.Rand, name string) error {
	switch random.IntN(8) {
	case 0:
		return s.Delete(t.Context(), remove(name))
	case 1:
		_, err := s.Rollback(t.Context(), back(name, random.IntN(3)))
		return err
	case 2, 3:
		_, err := s.SetTraffic(t.Context(), move(name, store.Weight{Version: 1, Weight: 40}, store.Weight{Version: 2, Weight: 60}))
		return err
	default:
		r := request(name, fmt.Sprint(random.IntN(6)))
		r.Traffic, r.Keep = random.IntN(2) == 0, store.Retention{Versions: 3}
		_, err := s.Put(t.Context(), r)
		return err
	}
}

func testTokens(t *testing.T, s store.Store) {
	now := time.Now().UTC().Truncate(time.Second)
	first := store.Token{ID: "one", Hash: [32]byte{1}, Role: "deploy", Plugins: []string{"search-*"}, Created: now, Expires: now.Add(time.Hour), By: "me"}
	second := store.Token{ID: "two", Role: "admin", Note: "of the team", Created: now, By: "me"}
	for _, token := range []store.Token{first, second} {
		if err := s.AddToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddToken(t.Context(), store.Token{ID: "one", Role: "admin"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same ID again: %v, want ErrConflict", err)
	}
	if _, err := s.RevokeToken(t.Context(), "three", "me"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoking what isn't there: %v, want ErrNotFound", err)
	}
	revoked, err := s.RevokeToken(t.Context(), "two", "you")
	if err != nil || revoked.Revoked.IsZero() || !revoked.Over(time.Now()) {
		t.Errorf("revoked: %+v, %v", revoked, err)
	}
	again, err := s.RevokeToken(t.Context(), "two", "you")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(revoked, again); diff != "" {
		t.Errorf("revoked again (-first +again):\n%s", diff)
	}
	tokens, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Token{first, revoked}, tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	tokens[0].Plugins[0] = "*"
	if tokens, _ := s.Tokens(t.Context()); tokens[0].Plugins[0] != "search-*" {
		t.Error("what the caller changed is in the store")
	}
	events := audit(t, s, store.AuditQuery{})
	if len(events) != 3 || events[0].Role != "deploy" || events[0].Token != "one" || events[2].Action != store.ActionTokenRevoke ||
		events[2].By != "you" {
		t.Errorf("events: %+v", events)
	}
}

func testSecrets(t *testing.T, s store.Store) {
	b := store.Secret{Name: "B", Sealed: []byte("sealed"), Allow: []string{"https://b.example"}, Plugins: []string{"b"}, By: "me"}
	a := store.Secret{Name: "A", Sealed: []byte("first"), By: "me"}
	for _, secret := range []store.Secret{b, a} {
		if err := s.SetSecret(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	a.Sealed = []byte("second")
	if err := s.SetSecret(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	secrets, err := s.Secrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Secret{a, b}, secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if err := s.DeleteSecret(t.Context(), "B", "me"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteSecret(t.Context(), "B", "me"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting it again: %v, want ErrNotFound", err)
	}
	if secrets, err := s.Secrets(t.Context()); err != nil || len(secrets) != 1 {
		t.Errorf("secrets: %v, %v", secrets, err)
	}
	if events := audit(t, s, store.AuditQuery{}); len(events) != 4 || events[3].Action != store.ActionSecretRemove || events[3].Secret != "B" {
		t.Errorf("events: %+v", events)
	}
}
