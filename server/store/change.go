package store

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// Change is what every change of a plugin says.
type Change struct {
	Name   string // of the plugin; see ValidName
	By     string // who makes it, for the event
	Note   string // why, for the event
	Expect int64  // the plugin's revision; another is an ErrConflict. 0: whichever
}

// PutRequest is one deploy.
type PutRequest struct {
	Change
	Manifest []byte // as the deployer sent it; may be empty
	Wasm     []byte
	Traffic  bool      // the version takes all traffic
	Keep     Retention // of the plugin's versions, the new one included
}

// PutResult is what a deploy came to.
type PutResult struct {
	Plugin  Plugin  // as it then is
	Version Version // the one that was deployed
	Created bool    // false: a version was the same
}

// Retention says which versions a deploy leaves. A version in the traffic table or in the one before it is left always, and so is the newest.
type Retention struct {
	Versions int           // the newest so many; 0: all
	Age      time.Duration // those younger than that; 0: all
}

// TrafficRequest asks for another traffic table.
type TrafficRequest struct {
	Change
	Table []Weight
}

// RollbackRequest asks for the traffic table that was before the last change of it or, with a Version, for that version to take all.
type RollbackRequest struct {
	Change
	Version int // 0: the table before
}

// DeleteRequest asks for the end of a plugin.
type DeleteRequest struct{ Change }

// Apply returns the plugin after the deploy, and the event, which an implementation numbers and dates; it's nil if nothing changes.
// If a version has the same module and the same manifest, byte for byte, none is added: the newest such one is the result's. old is nil
// if there is no such plugin yet, and isn't changed.
func (r *PutRequest) Apply(old *Plugin, digest string, now time.Time) (PutResult, *Event, error) {
	if !ValidName(r.Name) {
		return PutResult{}, nil, ErrInvalidName
	}
	if err := r.expected(old); err != nil {
		return PutResult{}, nil, err
	}
	next := Plugin{Name: r.Name}
	if old != nil {
		next = old.Clone()
	}
	v, same := next.Same(digest, r.Manifest)
	if !same {
		next.Last++
		v = Version{Number: next.Last, Digest: digest, Manifest: bytes.Clone(r.Manifest), Created: now, By: r.By, Note: r.Note}
		next.Versions = append(next.Versions, v)
	}
	moved := r.Traffic && next.move([]Weight{{Version: v.Number, Weight: 100}})
	result := PutResult{Version: v, Created: !same}
	if same && !moved {
		result.Plugin = next
		return result, nil, nil
	}
	e := r.event(ActionDeploy, &next)
	e.Version, e.Digest, e.Created = v.Number, digest, !same
	e.Pruned = next.prune(r.Keep, now)
	result.Plugin = next
	return result, e, nil
}

// Apply returns the plugin with the table; see PutRequest.Apply.
func (r *TrafficRequest) Apply(old *Plugin) (Plugin, *Event, error) {
	return r.to(old, ActionTraffic, r.Table)
}

// Apply returns the plugin with the table of before; see PutRequest.Apply.
func (r *RollbackRequest) Apply(old *Plugin) (Plugin, *Event, error) {
	if old == nil {
		return Plugin{}, nil, ErrNotFound
	}
	table := []Weight{{Version: r.Version, Weight: 100}}
	if r.Version == 0 {
		if table = old.Previous; len(table) == 0 {
			return Plugin{}, nil, fmt.Errorf("%w: there was no traffic table before this one", ErrConflict)
		}
	}
	return r.to(old, ActionRollback, table)
}

// Apply returns the event of the plugin's end; see PutRequest.Apply.
func (r *DeleteRequest) Apply(old *Plugin) (*Event, error) {
	if old == nil {
		return nil, ErrNotFound
	}
	if err := r.expected(old); err != nil {
		return nil, err
	}
	return r.event(ActionRemove, &Plugin{Name: r.Name}), nil
}

// to moves the traffic.
func (c *Change) to(old *Plugin, action string, table []Weight) (Plugin, *Event, error) {
	if old == nil {
		return Plugin{}, nil, ErrNotFound
	}
	if err := c.expected(old); err != nil {
		return Plugin{}, nil, err
	}
	next := old.Clone()
	table, err := next.table(table)
	if err != nil {
		return Plugin{}, nil, err
	}
	if !next.move(table) {
		return next, nil, nil
	}
	return next, c.event(action, &next), nil
}

func (c *Change) expected(p *Plugin) error {
	if c.Expect == 0 || p != nil && p.Revision == c.Expect {
		return nil
	}
	if p == nil {
		return fmt.Errorf("%w: it isn't there any more", ErrConflict)
	}
	return fmt.Errorf("%w: it's at revision %d, not %d", ErrConflict, p.Revision, c.Expect)
}

func (c *Change) event(action string, after *Plugin) *Event {
	return &Event{Action: action, By: c.By, Note: c.Note, Plugin: c.Name, Traffic: slices.Clone(after.Traffic)}
}

// move makes table the plugin's, and reports whether it's another one.
func (p *Plugin) move(table []Weight) bool {
	if slices.Equal(p.Traffic, table) {
		return false
	}
	p.Traffic, p.Previous = slices.Clone(table), p.Traffic
	return true
}

// prune removes what isn't to be kept, and returns its numbers.
func (p *Plugin) prune(keep Retention, now time.Time) (gone []int) {
	needed := func(v Version, place int) bool {
		for _, w := range slices.Concat(p.Traffic, p.Previous) {
			if w.Version == v.Number {
				return true
			}
		}
		newer := len(p.Versions) - 1 - place
		return newer == 0 || (keep.Versions <= 0 || newer < keep.Versions) && (keep.Age <= 0 || now.Sub(v.Created) < keep.Age)
	}
	kept := make([]Version, 0, len(p.Versions))
	for i, v := range p.Versions {
		if needed(v, i) {
			kept = append(kept, v)
		} else {
			gone = append(gone, v.Number)
		}
	}
	p.Versions = kept
	return gone
}
