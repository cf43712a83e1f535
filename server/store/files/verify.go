package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sortie-run/sortie/server/store"
)

// Verified is what a store holds, and what is wrong with it.
type Verified struct {
	Plugins, Versions, Modules int
	Bytes                      int64   // of modules
	Wrong                      []error // each names the file
	LockedBy                   error   // a *LockedError if a process has the store open
}

// Verify reads everything that a directory holds: whether this program can read every record, and whether every module that a record names is
// there and has its digest. It changes nothing, and a server may be running on it. A directory that isn't there is an empty store. The
// error is for what can't be looked at.
func Verify(ctx context.Context, dir string) (Verified, error) {
	var v Verified
	s := &Store{dir: filepath.Clean(dir), records: map[string]*store.Plugin{}}
	entries, err := os.ReadDir(filepath.Join(s.dir, pluginsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, fmt.Errorf("read the store: %w", err)
	}
	v.LockedBy = holder(filepath.Join(s.dir, lockFile))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok || e.IsDir() {
			continue
		}
		r, err := s.readPlugin(name)
		if _, missing := os.Stat(s.recordPath(name)); errors.Is(missing, fs.ErrNotExist) {
			continue // removed since the folder was read
		}
		if err != nil {
			v.Wrong = append(v.Wrong, err)
			continue
		}
		if r.Removed {
			continue
		}
		v.Plugins, v.Versions = v.Plugins+1, v.Versions+len(r.Versions)
	}
	var tokens tokensRecord
	if err := read(s.tokensPath(), &tokens, &tokens.header); err != nil {
		v.Wrong = append(v.Wrong, err)
	}
	var secrets secretsRecord
	if err := read(s.secretsPath(), &secrets, &secrets.header); err != nil {
		v.Wrong = append(v.Wrong, err)
	}
	return v, s.verifyModules(ctx, &v)
}

// verifyModules reads the modules that the records name.
func (s *Store) verifyModules(ctx context.Context, v *Verified) error {
	done := map[string]bool{}
	for name, r := range s.records {
		for _, version := range r.Versions {
			if err := ctx.Err(); err != nil {
				return err
			}
			if done[version.Digest] {
				continue
			}
			done[version.Digest] = true
			data, err := s.readBlob(version.Digest)
			switch {
			case err == nil:
				v.Modules, v.Bytes = v.Modules+1, v.Bytes+int64(len(data))
			case errors.Is(err, store.ErrNotFound) && !s.stillNames(name, version.Digest):
			default:
				v.Wrong = append(v.Wrong, fmt.Errorf("plugin %s, version %d: %w", name, version.Number, err))
			}
		}
	}
	return nil
}

// stillNames tells whether a plugin's record names a module now. A running server may have removed both meanwhile.
func (s *Store) stillNames(name, digest string) bool {
	again := &Store{dir: s.dir, records: map[string]*store.Plugin{}}
	if _, err := again.readPlugin(name); err != nil || again.records[name] == nil {
		return false
	}
	return again.named()[digest]
}

// holder is a *LockedError if a process has the store open.
func holder(path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil // nobody has opened it yet
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil // whether it can be read is told by others
	}
	defer f.Close()
	if locked, err := tryLock(f); locked || err != nil {
		return nil // closing the file unlocks it
	}
	head, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(head)))
	return &LockedError{Path: path, PID: pid}
}
