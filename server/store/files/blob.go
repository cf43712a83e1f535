package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sortie-run/sortie/server/store"
)

const (
	lockFile   = "lock"
	pluginsDir = "plugins"
	blobsDir   = "blobs"
	tmpDir     = "tmp"
)

// blobPath spreads the blobs over 256 folders by their first byte. The digest must be a valid one.
func (s *Store) blobPath(digest string) string {
	algorithm, hexa, _ := strings.Cut(digest, ":")
	return filepath.Join(s.dir, blobsDir, algorithm, hexa[:2], hexa)
}

// writeBlob stores the bytes under their digest, durably. If they are there already, and whole, nothing is written.
func (s *Store) writeBlob(digest string, data []byte) error {
	if _, err := s.readBlob(digest); err == nil {
		return nil
	}
	path := s.blobPath(digest)
	if err := s.makeBlobFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	if _, err := s.replace(path, data); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	return nil
}

// makeBlobFolder makes a folder for blobs, and its name durable in each folder above it.
func (s *Store) makeBlobFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		if err := syncDir(parent); err != nil {
			return err
		}
		if parent == s.dir || parent == filepath.Dir(parent) {
			return nil
		}
	}
}

func (s *Store) readBlob(digest string) ([]byte, error) {
	if !store.ValidDigest(digest) {
		return nil, fmt.Errorf("blob %q: %w", digest, store.ErrNotFound)
	}
	data, err := os.ReadFile(s.blobPath(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", digest, store.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", digest, err)
	}
	if got := store.Digest(data); got != digest {
		return nil, fmt.Errorf("blob %s: %w: its bytes have %s", digest, store.ErrCorrupt, got)
	}
	return data, nil
}

// sweepBlobs removes those of the blobs that no record names. What can't be removed now is removed by the next Open.
func (s *Store) sweepBlobs(digests []string) {
	named := s.named()
	for _, d := range digests {
		if !named[d] {
			_ = os.Remove(s.blobPath(d))
		}
	}
}

// named is the set of digests that records name.
func (s *Store) named() map[string]bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	named := make(map[string]bool)
	for _, r := range s.records {
		for _, v := range r.Versions {
			named[v.Digest] = true
		}
	}
	return named
}

// replace puts a file with these bytes at path, atomically and durably. renamed tells whether path is the new file, which
// it may be even on error: when only syncing its folder failed.
func (s *Store) replace(path string, data []byte) (renamed bool, err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, tmpDir), "new-*") // CreateTemp gives it mode 0600
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(f.Name()))
	}
	return true, syncDir(filepath.Dir(path))
}

// recover reads the log and the records, and removes what an interrupted process left: files being written, and blobs that no record
// names. The caller holds the directory's lock, so nobody else is writing.
func (s *Store) recover() error {
	if err := emptyDir(filepath.Join(s.dir, tmpDir)); err != nil {
		return fmt.Errorf("clean the store: %w", err)
	}
	if err := s.log.open(); err != nil {
		return err
	}
	if err := s.readRecords(); err != nil {
		return err
	}
	named := s.named()
	return filepath.WalkDir(filepath.Join(s.dir, blobsDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("clean the store: %w", err)
		}
		digest := "sha256:" + e.Name()
		if e.IsDir() || !store.ValidDigest(digest) || named[digest] {
			return nil
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("clean the store: %w", err)
		}
		return nil
	})
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
