package sortie

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Log writes to the invocation's log, with the level kept and attributes as key=value text. What is printed to stdout and stderr goes
// there too, without a level. Outside an invocation it writes to stderr.
var Log = slog.New(&logHandler{})

type logHandler struct {
	_      host.NoCompare
	prefix string // of attribute keys: "group."
	attrs  string // what With has formatted already, each with a space before
}

// Enabled is always true: what is kept is the host's to decide.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a record as one line.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	line := r.Message + h.attrs
	r.Attrs(func(a slog.Attr) bool {
		line += format(h.prefix, a)
		return true
	})
	if to := host.From(ctx); to != nil {
		to.Log(int(r.Level), line)
		return nil
	}
	_, err := os.Stderr.WriteString(r.Level.String() + " " + line + "\n")
	return err
}

// WithAttrs formats attributes once for many records.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs += format(h.prefix, a)
	}
	return &with
}

// WithGroup puts a name before the keys of later attributes.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &logHandler{prefix: h.prefix + name + ".", attrs: h.attrs}
}

// format is an attribute as text, with a space before; of a group, that of its members.
func format(prefix string, a slog.Attr) string {
	v := a.Value.Resolve()
	switch {
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		text := ""
		for _, member := range v.Group() {
			text += format(prefix, member)
		}
		return text
	case a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil: // slog: ignore it
		return ""
	}
	text := v.String()
	if v.Kind() == slog.KindTime {
		text = v.Time().Format(time.RFC3339Nano)
	}
	if needsQuotes(text) {
		text = strconv.Quote(text)
	}
	return " " + prefix + a.Key + "=" + text
}

func needsQuotes(s string) bool {
	for _, r := range s {
		if r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) {
			return true
		}
	}
	return s == ""
}
