// Package files keeps what a server has to remember in one directory of ordinary files. It is the store a single server needs.
//
//	s, err := files.Open(dir)   // creates the directory if need be, and locks it
//	defer s.Close()
//
// The directory holds
//
//	lock                    locked while a process has the store open; holds that process's id
//	plugins/NAME.json       one record a plugin: its versions, their manifests, its traffic
//	tokens.json             what is known of the tokens
//	secrets.json            the stored secrets, sealed
//	audit/FIRST.jsonl       the events, a line each; a file is named by the number of its first
//	blobs/sha256/ab/HEX     the modules, each named by its digest
//	tmp/                    files being written
//
// A change is made by writing a whole new record in tmp, syncing it, renaming it over the old one, and syncing the folder
// it went to. The record is what counts: a blob is written before the record that names it, and removed after. So a
// process that is killed at any moment leaves the old record or the new one, and at worst a file nobody names, which the
// next Open removes. The record holds the change's event too, which is then appended to the log; the next Open appends one that
// a killed process didn't.
//
// One process at a time can have the directory open; a second gets a *LockedError that names the first.
package files

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

// Store is a store.Store in a directory. Make one with Open.
type Store struct {
	dir  string
	lock *os.File

	write sync.Mutex // held by whoever changes files
	log   audit

	mu      sync.RWMutex // guards what follows; held for moments only. What a reader may have seen is never changed, but replaced
	records map[string]*store.Plugin
	tokens  []store.Token
	secrets []store.Secret
	closed  bool
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, creating it if it isn't there, and removes what a killed process left half done. It fails
// with *LockedError if the directory is in use, and with store.ErrCorrupt if a record can't be read.
func Open(dir string) (*Store, error) {
	dir = filepath.Clean(dir)
	for _, sub := range []string{pluginsDir, blobsDir, auditDir, tmpDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("create the store: %w", err)
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("create the store: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock, log: audit{dir: filepath.Join(dir, auditDir), segment: auditSegment, segments: auditSegments, readers: make(chan struct{}, auditReaders)}}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.log.close(), release(lock))
	}
	return s, nil
}

// Close gives the directory back. Further calls of any method fail with store.ErrClosed; closing again does nothing.
func (s *Store) Close() error {
	s.write.Lock() // whoever is writing finishes first
	defer s.write.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.log.close(), release(s.lock))
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, r store.PutRequest) (store.PutResult, error) {
	digest := store.Digest(r.Wasm)
	s.write.Lock()
	defer s.write.Unlock()
	result, err := s.put(ctx, r, digest)
	if err != nil {
		return store.PutResult{}, fmt.Errorf("put %q: %w", r.Name, err)
	}
	return result, nil
}

func (s *Store) put(ctx context.Context, r store.PutRequest, digest string) (store.PutResult, error) {
	old, err := s.find(ctx, r.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.PutResult{}, err
	}
	result, e, err := r.Apply(old, digest, time.Now().UTC())
	if err != nil {
		return store.PutResult{}, err
	}
	// Also for a version that is there already: its blob may have gone bad on the disk.
	if err := s.writeBlob(digest, r.Wasm); err != nil {
		return store.PutResult{}, err
	}
	if e == nil {
		return result, nil
	}
	kept, err := s.replacePlugin(ctx, result.Plugin, e)
	if err != nil || len(e.Pruned) > 0 {
		s.sweepBlobs(append(digests(old), digest)) // the new one, or those of what was pruned
	}
	if err != nil {
		return store.PutResult{}, err
	}
	result.Plugin = kept
	return result, nil
}

// replacePlugin makes next the plugin, and returns it as it's stored. The caller holds s.write.
func (s *Store) replacePlugin(ctx context.Context, next store.Plugin, e *store.Event) (store.Plugin, error) {
	s.log.number(e)
	next.Revision = e.Seq
	r := pluginRecord{Plugin: next}
	err := s.commit(ctx, s.recordPath(next.Name), &r, &r.header, e, func() { s.records[next.Name] = &next })
	return next.Clone(), err
}

// SetTraffic implements store.Store.
func (s *Store) SetTraffic(ctx context.Context, r store.TrafficRequest) (store.Plugin, error) {
	return s.move(ctx, "traffic of", r.Name, r.Apply)
}

// Rollback implements store.Store.
func (s *Store) Rollback(ctx context.Context, r store.RollbackRequest) (store.Plugin, error) {
	return s.move(ctx, "roll back", r.Name, r.Apply)
}

func (s *Store) move(ctx context.Context, what, name string, apply func(*store.Plugin) (store.Plugin, *store.Event, error)) (store.Plugin, error) {
	s.write.Lock()
	defer s.write.Unlock()
	old, err := s.find(ctx, name)
	if err != nil {
		return store.Plugin{}, fmt.Errorf("%s %q: %w", what, name, err)
	}
	next, e, err := apply(old)
	if err == nil && e != nil {
		next, err = s.replacePlugin(ctx, next, e)
	}
	if err != nil {
		return store.Plugin{}, fmt.Errorf("%s %q: %w", what, name, err)
	}
	return next, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, r store.DeleteRequest) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.remove(ctx, r); err != nil {
		return fmt.Errorf("delete %q: %w", r.Name, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, r store.DeleteRequest) error {
	old, err := s.find(ctx, r.Name)
	if err != nil {
		return err
	}
	e, err := r.Apply(old)
	if err != nil {
		return err
	}
	s.log.number(e)
	path := s.recordPath(r.Name)
	stone := pluginRecord{Removed: true, Plugin: store.Plugin{Name: r.Name}}
	if err := s.commit(ctx, path, &stone, &stone.header, e, func() { delete(s.records, r.Name) }); err != nil {
		return err
	}
	// The record says that it's gone. That its file goes too is tidiness, which the next Open sees to.
	_ = os.Remove(path)
	s.sweepBlobs(digests(old))
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, name string) (store.Plugin, error) {
	r, err := s.find(ctx, name)
	if err != nil {
		return store.Plugin{}, fmt.Errorf("plugin %q: %w", name, err)
	}
	return r.Clone(), nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context) ([]store.Plugin, error) {
	var all []store.Plugin
	err := s.reading(ctx, func() {
		all = make([]store.Plugin, 0, len(s.records))
		for _, name := range slices.Sorted(maps.Keys(s.records)) {
			all = append(all, s.records[name].Clone())
		}
	})
	return all, err
}

// Blob implements store.Store.
func (s *Store) Blob(ctx context.Context, digest string) ([]byte, error) {
	if err := s.reading(ctx, func() {}); err != nil {
		return nil, err
	}
	return s.readBlob(digest)
}

// Check reports whether the store can still be used: open, and its directory still there. The server's readiness asks.
func (s *Store) Check(ctx context.Context) error {
	if err := s.reading(ctx, func() {}); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.dir, tmpDir)); err != nil {
		return fmt.Errorf("the store's directory: %w", err)
	}
	return nil
}

// reading runs f while nobody changes what readers see.
func (s *Store) reading(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	f()
	return nil
}

// find returns the plugin's record, which must not be changed.
func (s *Store) find(ctx context.Context, name string) (r *store.Plugin, err error) {
	if err := s.reading(ctx, func() { r = s.records[name] }); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, store.ErrNotFound
	}
	return r, nil
}

// digests are those that a plugin, or none, names.
func digests(p *store.Plugin) []string {
	if p == nil {
		return nil
	}
	all := make([]string, len(p.Versions))
	for i, v := range p.Versions {
		all[i] = v.Digest
	}
	return all
}
