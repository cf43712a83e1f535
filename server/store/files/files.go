// Package files keeps a server's plugins in one directory of ordinary files. It is the store a single server needs.
//
//	s, err := files.Open(dir)   // creates the directory if need be, and locks it
//	defer s.Close()
//
// The directory holds
//
//	lock                    locked while a process has the store open; holds that process's id
//	plugins/NAME.json       one record a plugin: its versions, their manifests, its traffic
//	blobs/sha256/ab/HEX     the modules, each named by its digest
//	tmp/                    files being written
//
// A change is made by writing a whole new file in tmp, syncing it, renaming it over the old one, and syncing the folder
// it went to. The record is what counts: a blob is written before the record that names it, and removed after. So a
// process that is killed at any moment leaves the old record or the new one, and at worst a file nobody names, which the
// next Open removes.
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

	mu      sync.RWMutex // guards what follows; held for moments only
	records map[string]*record
	closed  bool
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, creating it if it isn't there, and removes what a killed process left half done. It fails
// with *LockedError if the directory is in use, and with store.ErrCorrupt if a record can't be read.
func Open(dir string) (*Store, error) {
	dir = filepath.Clean(dir)
	for _, sub := range []string{pluginsDir, blobsDir, tmpDir} {
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
	s := &Store{dir: dir, lock: lock}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, lock.Close())
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
	return s.lock.Close()
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, r store.PutRequest) (store.Version, bool, error) {
	if !store.ValidName(r.Name) {
		return store.Version{}, false, fmt.Errorf("put %q: %w", r.Name, store.ErrInvalidName)
	}
	digest := store.Digest(r.Wasm)
	s.write.Lock()
	defer s.write.Unlock()
	old, err := s.find(ctx, r.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Version{}, false, fmt.Errorf("put %q: %w", r.Name, err)
	}
	next, v, created := old.with(r, digest, time.Now().UTC())
	// Also for a version that is there already: its blob may have gone bad on the disk.
	if err := s.writeBlob(digest, r.Wasm); err != nil {
		return store.Version{}, false, fmt.Errorf("put %q: %w", r.Name, err)
	}
	if !created && !r.Traffic {
		return v, false, nil
	}
	if err := s.commit(ctx, next); err != nil {
		s.sweepBlobs([]string{digest})
		return store.Version{}, false, fmt.Errorf("put %q: %w", r.Name, err)
	}
	return v, created, nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, name string) (store.Plugin, error) {
	r, err := s.find(ctx, name)
	if err != nil {
		return store.Plugin{}, fmt.Errorf("plugin %q: %w", name, err)
	}
	return r.public(), nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context) ([]store.Plugin, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	all := make([]store.Plugin, 0, len(s.records))
	for _, name := range slices.Sorted(maps.Keys(s.records)) {
		all = append(all, s.records[name].public())
	}
	return all, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	s.write.Lock()
	defer s.write.Unlock()
	r, err := s.find(ctx, name)
	if err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	if err := os.Remove(s.recordPath(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	s.mu.Lock()
	delete(s.records, name)
	s.mu.Unlock()
	if err := syncDir(filepath.Join(s.dir, pluginsDir)); err != nil {
		return fmt.Errorf("delete %q: %w", name, err)
	}
	s.sweepBlobs(r.digests())
	return nil
}

// Blob implements store.Store.
func (s *Store) Blob(ctx context.Context, digest string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	closed := s.closed
	s.mu.RUnlock()
	if closed {
		return nil, store.ErrClosed
	}
	return s.readBlob(digest)
}

// Check reports whether the store can still be used: open, and its directory still there. The server's readiness asks.
func (s *Store) Check(ctx context.Context) error {
	if _, err := s.find(ctx, ""); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.dir, tmpDir)); err != nil {
		return fmt.Errorf("the store's directory: %w", err)
	}
	return nil
}

// find returns the plugin's record, which must not be changed.
func (s *Store) find(ctx context.Context, name string) (*record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	r, ok := s.records[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return r, nil
}
