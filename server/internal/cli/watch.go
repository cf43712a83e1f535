package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sortie-run/sortie/server/internal/project"
)

// How changes are gathered: an editor's save is several events, a checkout thousands.
const (
	settleTime = 100 * time.Millisecond // without an event, and the change is over
	mostSettle = 2 * time.Second        // after the first event: something that never stops writing mustn't keep a change back
)

// passedBy are the folders that hold no sources of the author's.
var passedBy = []string{"vendor", "node_modules", "build", "dist", "target"}

// watcher tells of changes to a project's files, in its folder and those below it. It is for one goroutine. Events that come while nobody
// looks wait in the system, whose queue may overflow: that is a change to everything then.
type watcher struct {
	events *fsnotify.Watcher
	root   string // as events name it: absolute, without symbolic links
	data   string // a server's data, which isn't a source, wherever it lies
	made   string // the module that a build writes; "": none does
	module string // the module, where something else builds it: a source then; "": there are sources
}

// watchTree begins to watch a project. What lies in data is left out.
func watchTree(dir, data string) (*watcher, error) {
	root, err := resolved(dir)
	if err != nil {
		return nil, err
	}
	w := &watcher{root: root}
	if w.data, err = resolved(data); err != nil {
		return nil, err
	}
	if w.events, err = fsnotify.NewWatcher(); err != nil {
		return nil, watchError(root, err)
	}
	if err := w.add(root); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// resolved is the one name of a path that has several.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func (w *watcher) close() { _ = w.events.Close() }

// aim says what the project's module is: what is built from the sources, or what is watched in their place.
func (w *watcher) aim(p *project.Project, builds bool) error {
	path, err := filepath.Rel(p.Dir, p.Wasm)
	if err != nil {
		return err
	}
	path = filepath.Join(w.root, path)
	w.made, w.module = path, ""
	if builds {
		return nil
	}
	w.made, w.module = "", path
	// Its folders may be ones that are passed by, and not there yet.
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		err := w.events.Add(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return watchError(dir, err)
		}
		if dir == w.root || err == nil && !below(dir, w.root) {
			break
		}
	}
	return nil
}

// below tells whether a path is in a folder, or in one below it.
func below(path, dir string) bool { return strings.HasPrefix(path, dir+string(filepath.Separator)) }

// add watches a folder and those below it. One that goes meanwhile is none.
func (w *watcher) add(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == w.root:
			return err
		case err != nil || !entry.IsDir():
			return nil //nolint:nilerr // it has gone again
		case w.ignores(path):
			return filepath.SkipDir
		}
		if err := w.events.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return watchError(path, err)
		}
		return nil
	})
}

func watchError(path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("%s can't be watched: %w; the system has a limit, such as fs.inotify.max_user_watches: raise it, or stop what else watches", path, err)
	}
	return fmt.Errorf("%s can't be watched: %w", path, err)
}

// ignores tells of paths at which nothing is a source: hidden ones, an editor's copies, tests, and what the build itself writes.
func (w *watcher) ignores(path string) bool {
	switch {
	case path == w.root, path == w.module, below(w.module, path):
		return false
	case path == w.made, path == w.data, below(path, w.data):
		return true
	}
	rest, err := filepath.Rel(w.root, path)
	if err != nil {
		return true
	}
	for name := range strings.SplitSeq(filepath.ToSlash(rest), "/") {
		if strings.HasPrefix(name, ".") || slices.Contains(passedBy, name) { // .. is outside
			return true
		}
	}
	name := filepath.Base(path)
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "_test.go")
}

// change is what next has seen.
type change struct {
	text    string // for a person: what has changed
	sources bool   // something else than the manifest
}

// next waits until something has changed and no more changes come. It ends with ctx.
func (w *watcher) next(ctx context.Context) (change, error) {
	changed := map[string]bool{}
	var settled <-chan time.Time
	var latest time.Time
	note := func(path string) {
		if len(changed) == 0 {
			latest = time.Now().Add(mostSettle)
		}
		changed[path] = true
		settled = time.After(min(settleTime, time.Until(latest)))
	}
	for {
		select {
		case e, open := <-w.events.Events:
			if !open {
				return change{}, fmt.Errorf("%s isn't watched any more: the watcher was closed", w.root)
			}
			if w.concerns(e) {
				note(e.Name)
			}
			if err := w.widen(e); err != nil {
				return change{}, err
			}
		case err := <-w.events.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return change{}, watchError(w.root, err)
			}
			if err := w.add(w.root); err != nil { // folders may have come
				return change{}, err
			}
			note(w.root)
		case <-settled:
			return w.summary(changed), nil
		case <-ctx.Done():
			return change{}, context.Cause(ctx)
		}
	}
}

// concerns tells whether an event is a change of a source. Another owner or time is none.
func (w *watcher) concerns(e fsnotify.Event) bool {
	return e.Op != fsnotify.Chmod && !w.ignores(e.Name)
}

// widen watches a folder that has come. What was in it before that is told of by the folder's own event.
func (w *watcher) widen(e fsnotify.Event) error {
	if !e.Has(fsnotify.Create) {
		return nil
	}
	if info, err := os.Lstat(e.Name); err != nil || !info.IsDir() {
		return nil //nolint:nilerr // it has gone again
	}
	return w.add(e.Name)
}

func (w *watcher) summary(changed map[string]bool) change {
	var c change
	first := ""
	for path := range changed {
		name, err := filepath.Rel(w.root, path)
		if err != nil {
			name = path
		}
		if first == "" || name < first {
			first = name
		}
		c.sources = c.sources || name != project.ManifestFile
	}
	c.text = printable(first)
	if more := len(changed) - 1; more > 0 {
		c.text += fmt.Sprintf(" and %d more", more)
	}
	return c
}
