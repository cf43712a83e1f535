package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// usage counts what plugins that have a quota use in a day, by UTC. It's kept in a file from time to time, and when the server closes: who is
// killed forgets usageEvery of it at most. A quota is looked at when an invocation arrives, so those that run may pass it, each by its own
// limits.
type usage struct {
	path string // "": it isn't kept
	now  func() time.Time

	mu      sync.Mutex
	day     string // 2006-01-02
	plugins map[string]*used
	changed bool
}

// used is what a plugin has used today.
type used struct {
	Requests int64         `json:"requests"`
	Fetches  int64         `json:"fetches"`
	Egress   int64         `json:"egress"`
	CPU      time.Duration `json:"cpu"`
}

// usageFile is what is kept.
type usageFile struct {
	Day     string           `json:"day"`
	Plugins map[string]*used `json:"plugins"`
}

// newUsage goes on with what was kept today. A file that can't be understood is an error: it would let everybody begin anew.
func newUsage(path string) (*usage, error) {
	u := &usage{path: path, now: time.Now, plugins: map[string]*used{}}
	if path == "" {
		return u, nil
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), newFile)) // by a process that was killed
	for _, file := range left {
		_ = os.Remove(file)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	var kept usageFile
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		return nil, fmt.Errorf("read what plugins used today: %s: %w; remove it to begin anew", path, err)
	}
	u.day = kept.Day
	for name, p := range kept.Plugins {
		if p != nil {
			u.plugins[name] = p
		}
	}
	return u, nil
}

// of is the plugin's use of today. It's called with the lock held.
func (u *usage) of(name string) *used {
	if today := u.now().UTC().Format(time.DateOnly); today != u.day {
		u.day = today
		clear(u.plugins)
	}
	p := u.plugins[name]
	if p == nil {
		p = new(used)
		u.plugins[name] = p
	}
	return p
}

// enter counts an invocation, or says what there is no more of today.
func (u *usage) enter(name string, q manifest.Quota) error {
	if q == (manifest.Quota{}) {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.of(name)
	what := ""
	switch {
	case q.Requests > 0 && p.Requests >= q.Requests:
		what = fmt.Sprintf("requests: %d", q.Requests)
	case q.Fetches > 0 && p.Fetches >= q.Fetches:
		what = fmt.Sprintf("fetches: %d", q.Fetches)
	case q.Egress > 0 && p.Egress >= int64(q.Egress):
		what = fmt.Sprintf("egress: %s", q.Egress)
	case q.CPU > 0 && p.CPU >= time.Duration(q.CPU):
		what = fmt.Sprintf("cpu: %s", q.CPU)
	}
	if what != "" {
		now := u.now().UTC()
		e := host.NewError(host.CodeRateLimited, "The plugin has used up what the operator lets it use in a day (plugins.quota, %s). The day ends at "+
			"midnight, UTC.", what)
		e.RetryAfter = now.Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
		return e
	}
	p.Requests++
	u.changed = true
	return nil
}

// spent counts what an invocation has used.
func (u *usage) spent(name string, q manifest.Quota, r *host.Report) {
	if q == (manifest.Quota{}) {
		return
	}
	var fetches, egress int64
	for i := range r.Fetches {
		fetches += int64(len(r.Fetches[i].Exchanges))
		for j := range r.Fetches[i].Exchanges {
			egress += r.Fetches[i].Exchanges[j].Sent + r.Fetches[i].Exchanges[j].Received
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.of(name)
	p.Fetches += fetches
	p.Egress += egress
	p.CPU += r.CPU
	u.changed = true
}

// run keeps what is used until ctx ends.
func (u *usage) run(ctx context.Context, failed func(error)) {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := u.keep(); err != nil {
				failed(err)
			}
		}
	}
}

// keep writes the file, if anything has changed.
func (u *usage) keep() error {
	u.mu.Lock()
	if !u.changed || u.path == "" {
		u.mu.Unlock()
		return nil
	}
	u.changed = false
	data, err := json.Marshal(usageFile{Day: u.day, Plugins: u.plugins})
	u.mu.Unlock()
	if err == nil {
		err = replaceFile(u.path, data)
	}
	if err != nil {
		u.mu.Lock()
		u.changed = true
		u.mu.Unlock()
		return fmt.Errorf("keep what plugins used today: %w", err)
	}
	return nil
}

// newFile is the name of a file that is being written.
const newFile = ".new-usage-*"

// replaceFile writes a file that is always whole.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), newFile)
	if err != nil {
		return err
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
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
