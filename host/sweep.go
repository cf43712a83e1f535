package host

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// cacheBytes is how large the compile cache may be: a Go plugin of 4 MiB takes 20 there, so it's room for some hundred versions.
	cacheBytes = 8 << 30
	// cacheEvery is how often it's looked at, after the start.
	cacheEvery = 6 * time.Hour
	// cacheFresh is how old a file must be to be removed, or to have been left half written by a process that is gone.
	cacheFresh = time.Hour
)

// sweep keeps the compile cache from growing for good, until ctx ends. Nothing in it is needed: what is missing is compiled again.
func (r *Runtime) sweep(ctx context.Context, dir string) {
	tick := time.NewTicker(cacheEvery)
	defer tick.Stop()
	for {
		if freed, err := sweepCache(ctx, dir, cacheBytes, time.Now()); err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("compile cache not swept", "dir", dir, "err", err)
		} else if freed > 0 {
			r.cfg.Log.Info("compile cache swept", "dir", dir, "freed", freed)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cached is a file of the compile cache.
type cached struct {
	path string
	size int64
	used time.Time // read or written last, as far as the file system notes it
}

// sweepCache removes what is half written and, if there's more than most, what has not been used for longest until three quarters of most are
// left. It returns how many bytes that was.
func sweepCache(ctx context.Context, dir string, most int64, now time.Time) (freed int64, err error) {
	var files []cached
	var size int64
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it has just gone
		}
		f := cached{path, info.Size(), lastUsed(info)}
		size += f.size
		if now.Sub(f.used) < cacheFresh {
			return ctx.Err()
		}
		if unfinished(e.Name()) {
			if os.Remove(path) == nil {
				freed += f.size
			}
			return ctx.Err()
		}
		files = append(files, f)
		return ctx.Err()
	})
	if err != nil || size-freed <= most {
		return freed, err
	}
	slices.SortFunc(files, func(a, b cached) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if size-freed <= most/4*3 {
			break
		}
		if err := os.Remove(f.path); err != nil {
			return freed, err
		}
		freed += f.size
	}
	return freed, ctx.Err()
}

// unfinished reports whether a file was being written: wazero names such .tmp, package rewrite begins their names with .new-.
func unfinished(name string) bool {
	return strings.HasPrefix(name, ".new-") || strings.HasSuffix(name, ".tmp")
}
