package files

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

// recordFormat is the version of the record's JSON. A store written by a later, incompatible edition is refused.
const recordFormat = 1

// record is one plugin as its file holds it. A record that was published is never changed: changes make a new one.
type record struct {
	Format   int            `json:"format"`
	Name     string         `json:"name"`
	Last     int            `json:"last"` // the highest number ever given, so that none is given twice
	Versions []version      `json:"versions"`
	Traffic  []store.Weight `json:"traffic"`
}

type version struct {
	Number   int       `json:"number"`
	Digest   string    `json:"digest"`
	Manifest []byte    `json:"manifest"` // base64 in the file: it's kept byte for byte, whatever it is
	Created  time.Time `json:"created"`
}

func (v version) public() store.Version {
	return store.Version{Number: v.Number, Digest: v.Digest, Manifest: bytes.Clone(v.Manifest), Created: v.Created}
}

func (r *record) public() store.Plugin {
	p := store.Plugin{Name: r.Name, Traffic: slices.Clone(r.Traffic), Versions: make([]store.Version, len(r.Versions))}
	for i, v := range r.Versions {
		p.Versions[i] = v.public()
	}
	return p
}

func (r *record) digests() []string {
	all := make([]string, len(r.Versions))
	for i, v := range r.Versions {
		all[i] = v.Digest
	}
	return all
}

// with returns the record after that deploy, the version deployed, and whether it was added. r may be nil: no such plugin yet.
func (r *record) with(req store.PutRequest, digest string, now time.Time) (next *record, v store.Version, created bool) {
	next = &record{Format: recordFormat, Name: req.Name}
	if r != nil {
		next.Last, next.Versions, next.Traffic = r.Last, slices.Clone(r.Versions), slices.Clone(r.Traffic)
	}
	known := next.public()
	v, same := known.Same(digest, req.Manifest)
	if !same {
		next.Last++
		added := version{Number: next.Last, Digest: digest, Manifest: bytes.Clone(req.Manifest), Created: now}
		next.Versions, v = append(next.Versions, added), added.public()
	}
	if req.Traffic {
		next.Traffic = []store.Weight{{Version: v.Number, Weight: 100}}
	}
	return next, v, !same
}

// check says what is wrong with a record read from NAME.json.
func (r *record) check(name string) error {
	switch {
	case r.Format != recordFormat:
		return fmt.Errorf("format %d, this program reads %d", r.Format, recordFormat)
	case r.Name != name || !store.ValidName(name):
		return fmt.Errorf("it names the plugin %q", r.Name)
	case len(r.Versions) == 0:
		return errors.New("no versions")
	}
	last := 0
	for _, v := range r.Versions {
		if v.Number <= last || v.Number > r.Last || !store.ValidDigest(v.Digest) {
			return fmt.Errorf("version %d is malformed", v.Number)
		}
		last = v.Number
	}
	return nil
}

const recordSuffix = ".json"

func (s *Store) recordPath(name string) string {
	return filepath.Join(s.dir, pluginsDir, name+recordSuffix)
}

// commit makes next the plugin's record, on disk first.
func (s *Store) commit(ctx context.Context, next *record) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	renamed, err := s.replace(s.recordPath(next.Name), data)
	if renamed {
		// Even if syncing the folder failed, this is what a reader of the directory sees now.
		s.mu.Lock()
		s.records[next.Name] = next
		s.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}

// readRecords reads every record in the directory.
func (s *Store) readRecords() (map[string]*record, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, pluginsDir))
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	records := make(map[string]*record, len(entries))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || e.IsDir() {
			continue // not ours; leave it alone
		}
		r, err := readRecord(s.recordPath(name), name)
		if err != nil {
			return nil, err
		}
		records[name] = r
	}
	return records, nil
}

func readRecord(path, name string) (*record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	r := new(record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, store.ErrCorrupt, err)
	}
	if err := r.check(name); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, store.ErrCorrupt, err)
	}
	return r, nil
}
