package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/server/store"
)

func openFiles(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func deploy(t *testing.T, s *Store, name string, n int) {
	t.Helper()
	r := store.PutRequest{Change: store.Change{Name: name, Note: "deploy"}, Wasm: fmt.Append(nil, n), Traffic: true}
	if _, err := s.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func seqs(t *testing.T, s *Store, q store.AuditQuery) []int64 {
	t.Helper()
	events, err := s.Audit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for _, e := range events {
		all = append(all, e.Seq)
	}
	return all
}

// TestAuditSegments fills several files of the log: what is asked for is found in whichever holds it, and the oldest go.
func TestAuditSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openFiles(t, dir)
	s.log.segment, s.log.segments = 600, 3 // two or three events each
	for n := range 9 {
		deploy(t, s, "a", n)
	}
	kept := seqs(t, s, store.AuditQuery{})
	if len(s.log.firsts) != 3 || len(kept) < 6 || kept[0] != s.log.firsts[0] || kept[len(kept)-1] != 9 {
		t.Fatalf("files from %v hold the events %v", s.log.firsts, kept)
	}
	for after := range int64(10) {
		for limit := 1; limit < 10; limit++ {
			var want []int64
			for _, n := range kept {
				if n > after && (after > 0 && len(want) < limit || after == 0 && n > 9-int64(limit)) {
					want = append(want, n)
				}
			}
			if diff := cmp.Diff(want, seqs(t, s, store.AuditQuery{After: after, Limit: limit})); diff != "" {
				t.Errorf("after %d, limit %d (-want +got):\n%s", after, limit, diff)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFiles(t, dir)
	deploy(t, s, "a", 9)
	if diff := cmp.Diff([]int64{9, 10}, seqs(t, s, store.AuditQuery{Limit: 2})); diff != "" {
		t.Errorf("after opening again (-want +got):\n%s", diff)
	}
}

// TestAuditRecovers leaves the log as a process can that was killed between the record and the end of the log's line.
func TestAuditRecovers(t *testing.T) {
	t.Parallel()
	for name, tear := range map[string]func(line []byte) []byte{
		"without the line": func([]byte) []byte { return nil },
		"half the line":    func(line []byte) []byte { return line[:len(line)/2] },
		"no newline":       func(line []byte) []byte { return line[:len(line)-1] },
		"zeros":            func(line []byte) []byte { return append(make([]byte, len(line)-1), '\n') },
	} {
		for _, last := range []string{"deploy", "remove", "token", "secret"} {
			t.Run(name+", "+last, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				s := openFiles(t, dir)
				deploy(t, s, "a", 1)
				deploy(t, s, "b", 1)
				whole := s.log.size
				var err error
				switch last {
				case "deploy":
					deploy(t, s, "a", 2)
				case "remove":
					err = s.Delete(t.Context(), store.DeleteRequest{Change: store.Change{Name: "a"}})
					if err == nil { // as if it had been killed before it removed the file
						stone, _ := json.Marshal(pluginRecord{header: header{Format: recordFormat, Event: &store.Event{
							Seq: 3, Action: store.ActionRemove, Plugin: "a",
						}}, Removed: true, Plugin: store.Plugin{Name: "a"}})
						err = os.WriteFile(s.recordPath("a"), stone, 0o600)
					}
				case "token":
					err = s.AddToken(t.Context(), store.Token{ID: "one"})
				case "secret":
					err = s.SetSecret(t.Context(), store.Secret{Name: "one"})
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				path := s.log.path(1)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(data[:whole:whole], tear(data[whole:])...), 0o600); err != nil {
					t.Fatal(err)
				}
				s = openFiles(t, dir)
				if diff := cmp.Diff([]int64{1, 2, 3}, seqs(t, s, store.AuditQuery{})); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if _, err := s.Get(t.Context(), "a"); (err != nil) != (last == "remove") {
					t.Errorf("the plugin: %v", err)
				}
				deploy(t, s, "c", 1)
				if diff := cmp.Diff([]int64{3, 4}, seqs(t, s, store.AuditQuery{After: 2})); diff != "" {
					t.Errorf("the next (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestAuditThatCanNotWrite makes the log's file unwritable for a change: it's made, no other is until the log can be written, and then the log
// has both.
func TestAuditThatCanNotWrite(t *testing.T) {
	t.Parallel()
	s := openFiles(t, t.TempDir())
	deploy(t, s, "a", 1)
	good := s.log.file
	bad, err := os.Open(good.Name()) // for reading
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	s.log.file = bad
	r := store.PutRequest{Change: store.Change{Name: "a"}, Wasm: []byte("two")}
	if _, err := s.Put(t.Context(), r); err != nil {
		t.Errorf("a change whose event is in its record: %v", err)
	}
	if p, err := s.Get(t.Context(), "a"); err != nil || len(p.Versions) != 2 {
		t.Errorf("the plugin: %+v, %v", p, err)
	}
	r.Wasm = []byte("three")
	if _, err := s.Put(t.Context(), r); err == nil {
		t.Error("a change was made while the log can't be written")
	}
	s.log.file = good
	deploy(t, s, "a", 4)
	if diff := cmp.Diff([]int64{1, 2, 3}, seqs(t, s, store.AuditQuery{})); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestAuditGone takes the log away: it begins anew, with the last change's event. One that lacks more than a killed process can leave out
// is refused.
func TestAuditGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openFiles(t, dir)
	deploy(t, s, "a", 1)
	deploy(t, s, "b", 2)
	deploy(t, s, "a", 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.log.path(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.log.path(1), data[:len(data)/3], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Open = %v, want ErrCorrupt", err)
	}
	if err := os.RemoveAll(filepath.Join(dir, auditDir)); err != nil {
		t.Fatal(err)
	}
	s = openFiles(t, dir)
	deploy(t, s, "b", 4)
	if diff := cmp.Diff([]int64{3, 4}, seqs(t, s, store.AuditQuery{})); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestFormerRecord reads what was written before there were events.
func TestFormerRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openFiles(t, dir)
	deploy(t, s, "b", 0)
	digest := store.Digest([]byte("0"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	former := fmt.Sprintf(`{"format":1,"name":"a","last":3,"versions":[{"number":2,"digest":%q,"manifest":"bmFtZTogYQ==",`+
		`"created":"2026-01-02T03:04:05Z"}],"traffic":[{"version":2,"weight":100}]}`, digest)
	if err := os.WriteFile(s.recordPath("a"), []byte(former), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openFiles(t, dir)
	p, err := s.Get(t.Context(), "a")
	if err != nil || p.Last != 3 || p.Revision != 0 || string(p.Versions[0].Manifest) != "name: a" || p.Traffic[0].Weight != 100 {
		t.Fatalf("%+v, %v", p, err)
	}
	deploy(t, s, "a", 1)
	if p, err = s.Get(t.Context(), "a"); err != nil || p.Newest().Number != 4 || p.Revision != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}
