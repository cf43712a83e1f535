package guest

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// LogLine is one line of an invocation's log.
type LogLine struct {
	Time    time.Time
	Level   slog.Level
	Message string
}

// maxLine bounds one line, so that a guest that writes no newline doesn't hold it all back.
const maxLine = 8 << 10

// Log collects what a guest logs and prints, up to a number of bytes. Safe for concurrent use.
type Log struct {
	mu    sync.Mutex
	lines []LogLine
	left  int64
	full  bool
	each  func(LogLine)   // may be nil
	part  [3]bytes.Buffer // what came on a descriptor since its last newline
}

// NewLog returns a log of at most limit bytes of text. What passes it is dropped, and a last line says so.
func NewLog(limit int64) *Log { return &Log{left: limit} }

// Clone returns a log that goes on where this one is.
func (l *Log) Clone() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Log{lines: slices.Clone(l.lines), left: l.left, full: l.full}
	for fd := range l.part {
		c.part[fd].Write(l.part[fd].Bytes())
	}
	return c
}

// Add adds a line.
func (l *Log) Add(level slog.Level, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(level, message)
}

func (l *Log) add(level slog.Level, message string) {
	if l.full {
		return
	}
	// A line costs more than its text; otherwise empty lines would be free.
	const overhead = 16
	if int64(len(message))+overhead > l.left {
		l.full = true
		level, message = slog.LevelWarn, "the log's limit is reached; later lines are dropped"
	}
	l.left -= int64(len(message)) + overhead
	line := LogLine{time.Now(), level, strings.ToValidUTF8(message, string(utf8.RuneError))}
	l.lines = append(l.lines, line)
	if l.each != nil {
		l.each(line)
	}
}

// Follow has each called for every line there is and every one to come, by who logs it. It must not use the log.
func (l *Log) Follow(each func(LogLine)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		each(line)
	}
	l.each = each
}

// Write takes what a guest prints to descriptor 1 or 2, and adds it line by line: standard output as info, standard error as
// warn.
func (l *Log) Write(fd int, p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.part[fd]
	for len(p) > 0 && !l.full {
		n := bytes.IndexByte(p, '\n')
		take := p
		if n >= 0 {
			take = p[:n]
		}
		take = take[:min(len(take), maxLine-b.Len())]
		b.Write(take)
		p = p[len(take):]
		if len(p) > 0 && p[0] == '\n' {
			p = p[1:]
			l.flush(fd)
		} else if b.Len() >= maxLine {
			l.flush(fd)
		}
	}
}

func (l *Log) flush(fd int) {
	level := slog.LevelInfo
	if fd == 2 {
		level = slog.LevelWarn
	}
	// Empty lines are the layout of a stack trace on a terminal; here they are noise.
	if line := strings.TrimSuffix(l.part[fd].String(), "\r"); line != "" {
		l.add(level, line)
	}
	l.part[fd].Reset()
}

// Lines ends lines still open and returns all.
func (l *Log) Lines() []LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	for fd := range l.part {
		if l.part[fd].Len() > 0 {
			l.flush(fd)
		}
	}
	return l.lines
}
