package files

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

const (
	auditDir    = "audit"
	auditSuffix = ".jsonl"
	// auditSegment is how large a file of the log grows before the next is begun, and auditSegments how many are kept: half a million events
	// or so, after which the oldest file goes.
	auditSegment  = 4 << 20
	auditSegments = 64
)

// audit is the log of events: files of lines, of which only the last one is written to, at its end. What a killed process wrote in part is cut
// off when the log is opened. Changes come one at a time, the store sees to that; readers come whenever they like.
type audit struct {
	dir      string
	segment  int64 // auditSegment
	segments int   // auditSegments
	readers  chan struct{}

	mu      sync.Mutex // guards what follows
	firsts  []int64    // the numbers that the files are named by, ascending
	last    int64      // the highest number that is on disk or pending
	file    *os.File   // the last file, if there is one
	size    int64
	pending []store.Event // made, but not on disk: writing them failed
}

func (a *audit) path(first int64) string {
	return filepath.Join(a.dir, fmt.Sprintf("%020d", first)+auditSuffix)
}

// written is the path of the file that is written to; "" if there is none yet.
func (a *audit) written() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.firsts) == 0 {
		return ""
	}
	return a.path(a.firsts[len(a.firsts)-1])
}

// open reads the end of the log.
func (a *audit) open() error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	for _, e := range entries {
		var first int64
		if name, ok := strings.CutSuffix(e.Name(), auditSuffix); !ok || e.IsDir() {
			continue // not ours
		} else if _, err := fmt.Sscanf(name, "%d", &first); err != nil || filepath.Base(a.path(first)) != e.Name() || first < 1 {
			continue
		}
		a.firsts = append(a.firsts, first)
	}
	slices.Sort(a.firsts)
	if len(a.firsts) == 0 {
		return nil
	}
	first := a.firsts[len(a.firsts)-1]
	events, whole, err := a.read(first)
	if err != nil {
		return err
	}
	a.last = first - 1 + int64(len(events))
	f, err := os.OpenFile(a.path(first), os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	a.file, a.size = f, whole
	if err := f.Truncate(whole); err != nil {
		return fmt.Errorf("cut the audit log: %w", err)
	}
	return f.Sync()
}

// read returns a file's events, and how many bytes their lines have. A line without an end isn't one yet.
func (a *audit) read(first int64) (events []store.Event, whole int64, err error) {
	data, err := os.ReadFile(a.path(first))
	if err != nil {
		return nil, 0, fmt.Errorf("read the audit log: %w", err)
	}
	for len(data) > 0 {
		line, rest, ended := bytes.Cut(data, []byte("\n"))
		if !ended {
			break
		}
		var e store.Event
		if err := json.Unmarshal(line, &e); err != nil || e.Seq != first+int64(len(events)) {
			if len(rest) == 0 {
				break // written, but not synced, when the machine stopped; the record still has it
			}
			return nil, 0, fmt.Errorf("%s, event %d: %w", a.path(first), first+int64(len(events)), store.ErrCorrupt)
		}
		events, whole, data = append(events, e), whole+int64(len(line))+1, rest
	}
	return events, whole, nil
}

// number gives an event that is about to happen its place and time.
func (a *audit) number(e *store.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.Seq, e.Time = a.last+1, time.Now().UTC()
}

// recover takes the events by which the records were made, and adds the one that the log lacks, if there is one. A log that isn't there at
// all begins anew, with the last of them.
func (a *audit) recover(made []store.Event) error {
	missing := slices.DeleteFunc(made, func(e store.Event) bool { return e.Seq <= a.last })
	if len(missing) == 0 {
		return nil
	}
	e := slices.MaxFunc(missing, func(a, b store.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(a.firsts) > 0 && e.Seq != a.last+1 {
		return fmt.Errorf("%w: the audit log in %s ends with event %d, and a record was made by event %d: put the folder's files back, "+
			"or move them away to begin a new log", store.ErrCorrupt, a.dir, a.last, e.Seq)
	}
	return a.add(e)
}

// add appends an event, durably. One that can't be written is kept, and written before the next.
func (a *audit) add(e store.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = append(a.pending, e)
	a.last = e.Seq
	return a.write()
}

// flush writes what is pending.
func (a *audit) flush() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.write()
}

func (a *audit) write() error {
	if len(a.pending) == 0 {
		return nil
	}
	if a.file == nil || a.size >= a.segment {
		if err := a.begin(a.pending[0].Seq); err != nil {
			return err
		}
	}
	var lines bytes.Buffer
	for _, e := range a.pending {
		encoder := json.NewEncoder(&lines)
		encoder.SetEscapeHTML(false) // a note of angle brackets would take six times its size
		if err := encoder.Encode(e); err != nil {
			return err
		}
	}
	// At the end of what is known to be whole, in place of what a failed attempt may have left there.
	if _, err := a.file.WriteAt(lines.Bytes(), a.size); err != nil {
		return err
	}
	if err := a.file.Sync(); err != nil {
		return err
	}
	a.size += int64(lines.Len())
	a.pending = nil
	return nil
}

// begin begins a new file.
func (a *audit) begin(first int64) error {
	f, err := os.OpenFile(a.path(first), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(a.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if a.file != nil {
		_ = a.file.Close() // it's synced
	}
	a.file, a.size = f, 0
	a.firsts = append(a.firsts, first)
	for len(a.firsts) > a.segments {
		_ = os.Remove(a.path(a.firsts[0]))
		a.firsts = a.firsts[1:]
	}
	return nil
}

func (a *audit) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.write()
	return errors.Join(err, a.file.Close())
}

// Audit implements store.Store.
func (s *Store) Audit(ctx context.Context, q store.AuditQuery) ([]store.Event, error) {
	if err := s.reading(ctx, func() {}); err != nil {
		return nil, err
	}
	if q.Limit <= 0 {
		q.Limit = store.DefaultAudit
	}
	return s.log.query(ctx, q)
}

// auditReaders is how many queries run at once: each may read all of the log.
const auditReaders = 2

// query reads whole files, each of them small, without holding up those who write. Only lines that can be what is wanted are decoded.
func (a *audit) query(ctx context.Context, q store.AuditQuery) ([]store.Event, error) {
	select {
	case a.readers <- struct{}{}:
		defer func() { <-a.readers }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a.mu.Lock()
	firsts := slices.Clone(a.firsts)
	a.mu.Unlock()
	if q.After > 0 {
		at, _ := slices.BinarySearch(firsts, q.After+2) // the file after the one that holds the first event that is wanted
		firsts = firsts[max(at-1, 0):]
	} else {
		slices.Reverse(firsts)
	}
	found := []store.Event{}
	for _, first := range firsts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		events, err := a.search(first, q, q.Limit-len(found))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was the oldest, and has just gone
		}
		if err != nil {
			return nil, err
		}
		found = append(found, events...)
		if len(found) >= q.Limit {
			break
		}
	}
	if q.After == 0 {
		slices.Reverse(found)
	}
	return found, nil
}

// search returns what a query wants of one file, at most so many: the first ones after q.After or, where that is 0, the last ones, backwards.
func (a *audit) search(first int64, q store.AuditQuery, most int) (found []store.Event, err error) {
	data, err := os.ReadFile(a.path(first))
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	end := bytes.LastIndexByte(data, '\n') + 1 // a line without an end isn't one yet
	lines := bytes.Split(data[:max(end-1, 0)], []byte("\n"))
	if q.After == 0 {
		slices.Reverse(lines)
	}
	wanted := fmt.Appendf(nil, `"plugin":%q`, q.Plugin)
	for i, line := range lines {
		if len(found) == most {
			break
		}
		if len(line) == 0 || q.Plugin != "" && !bytes.Contains(line, wanted) {
			continue
		}
		var e store.Event
		if err := json.Unmarshal(line, &e); err != nil {
			if i == 0 && q.After == 0 || i == len(lines)-1 && q.After > 0 {
				continue // being written
			}
			return nil, fmt.Errorf("%s: %w: %w", a.path(first), store.ErrCorrupt, err)
		}
		if e.Seq > q.After && (q.Plugin == "" || e.Plugin == q.Plugin) {
			found = append(found, e)
		}
	}
	return found, nil
}
