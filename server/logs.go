package server

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sortie-run/sortie/host"
)

// logs are the last lines of every plugin. Followers read from them at their own pace, each from where it is: an invocation that
// adds lines only tells them that there are some, and what a slow one hasn't read when it goes is a gap that it's told of.
type logs struct {
	mu        sync.Mutex
	lines     *fair[LogLine]
	journals  map[string]*journal
	followers int
	closed    bool
	exists    func(plugin string) bool
}

// journal is the state of one plugin's log. Lines are numbered from 1; the last ones of them are in logs.lines.
type journal struct {
	// id tells this log from that of another server, or of a plugin that had the name before: the numbers mean nothing there.
	id        string
	last      int64
	gone      bool // the plugin was deleted
	followers map[*follower]struct{}
}

// follower is one reader's place in a journal.
type follower struct {
	logs    *logs
	plugin  string
	journal *journal
	next    int64         // the number of the line it wants
	wake    chan struct{} // holds one, for something has happened
}

func newLogs(exists func(plugin string) bool) *logs {
	return &logs{lines: newFair[LogLine](logBytes, logLines, nil), journals: map[string]*journal{}, exists: exists}
}

// add appends an invocation's lines, unless its plugin was deleted meanwhile; see reports.add.
func (l *logs) add(v *version, invocation string, lines []host.LogLine) {
	if len(lines) == 0 {
		return
	}
	skipped := max(0, len(lines)-pluginLogLines)
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.deleted.Load() {
		return
	}
	j := l.journal(v.plugin)
	j.last += int64(skipped) // nothing older is left when the others are there
	for _, line := range lines[skipped:] {
		entry := LogLine{Time: line.Time, Level: line.Level, Message: cutLine(line.Message), Invocation: invocation, Version: v.stored.Number}
		cost := sizeOfLine + logPlace + int64(len(entry.Message)) + int64(len(invocation))
		l.lines.trim(v.plugin, pluginLogLines-1, pluginLogBytes-cost)
		l.lines.put(v.plugin, entry, cost)
		j.last++
	}
	j.tell()
}

func (j *journal) tell() {
	for f := range j.followers {
		select {
		case f.wake <- struct{}{}:
		default: // it knows
		}
	}
}

// journal is called with the lock held.
func (l *logs) journal(plugin string) *journal {
	j := l.journals[plugin]
	if j == nil {
		j = &journal{id: host.NewID()[:logIDLength], followers: map[*follower]struct{}{}}
		l.journals[plugin] = j
	}
	return j
}

// recent returns the plugin's last lines, at most so many, the newest last.
func (l *logs) recent(plugin string, limit int) []LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.lines.of(plugin)
	kept = kept[max(0, len(kept)-limit):]
	lines := make([]LogLine, len(kept))
	for i := range kept {
		lines[i] = kept[i].thing
	}
	return lines
}

// follow begins after the line that the client has seen last or, if that isn't one of this log, with at most so many recent
// lines. The follower must be left.
func (l *logs) follow(plugin, lastSeen string, limit int) (*follower, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, draining()
	case !l.exists(plugin): // under the lock, so that forget comes after it or has made it false
		return nil, notFound(plugin)
	case l.followers >= maxFollowers:
		return nil, host.NewError(host.CodeOverloaded, "%d clients follow logs already, as many as may at once.", maxFollowers)
	}
	j := l.journal(plugin)
	f := &follower{logs: l, plugin: plugin, journal: j, wake: make(chan struct{}, 1)}
	if id, n, ok := parseEventID(lastSeen); ok && id == j.id && n <= j.last {
		f.next = n + 1
	} else {
		f.next = j.last + 1 - int64(min(limit, len(l.lines.of(plugin))))
	}
	j.followers[f] = struct{}{}
	l.followers++
	return f, nil
}

// leave ends a follower.
func (f *follower) leave() {
	f.logs.mu.Lock()
	defer f.logs.mu.Unlock()
	delete(f.journal.followers, f)
	f.logs.followers--
}

// batch is what a follower gets at once.
type batch struct {
	lines   []LogLine
	first   int64 // the number of the first line
	dropped int64 // how many are gone that come before it
	end     string
}

// read takes what there is, up to followBatch bytes. Where there is nothing left, it says whether there never will be.
func (f *follower) read() (b batch) {
	f.logs.mu.Lock()
	defer f.logs.mu.Unlock()
	if f.journal.gone {
		return batch{end: endRemoved}
	}
	kept := f.logs.lines.of(f.plugin)
	oldest := f.journal.last + 1 - int64(len(kept))
	if f.next < oldest {
		b.dropped = oldest - f.next
		f.next = oldest
	}
	b.first = f.next
	size := 0
	for _, k := range kept[f.next-oldest:] {
		if size += len(k.thing.Message); size > followBatch && len(b.lines) > 0 {
			break
		}
		b.lines = append(b.lines, k.thing)
		f.next++
	}
	if len(b.lines) == 0 && f.logs.closed {
		b.end = endDraining
	}
	return b
}

// forget drops the log of a plugin that was deleted, and ends its followers.
func (l *logs) forget(plugin string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines.drop(plugin)
	if j := l.journals[plugin]; j != nil {
		j.gone = true
		j.tell()
		delete(l.journals, plugin)
	}
}

// close ends every follower once it has read what there is, and lets nobody follow any more.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, j := range l.journals {
		j.tell()
	}
}

// cutLine bounds a line. What is cut off isn't kept in memory.
func cutLine(text string) string {
	if len(text) <= logLine {
		return text
	}
	end := logLine
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) + "…"
}
