package guest

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestLogLimit(t *testing.T) {
	t.Parallel()
	l := NewLog(100)
	for i := range 50 {
		l.Add(slog.LevelInfo, fmt.Sprint(i))
	}
	lines := l.Lines()
	if n := len(lines); n > 7 || !strings.Contains(lines[n-1].Message, "limit") || lines[0].Message != "0" {
		t.Errorf("%d lines: %v", n, lines)
	}
	l.Write(1, []byte("more\n"))
	if len(l.Lines()) != len(lines) {
		t.Error("a full log grows")
	}
}

func TestLogLongLine(t *testing.T) {
	t.Parallel()
	l := NewLog(1 << 20)
	for range 3 {
		l.Write(1, []byte(strings.Repeat("x", maxLine/2+1)))
	}
	lines := l.Lines()
	if len(lines) != 2 || len(lines[0].Message) != maxLine || len(lines[1].Message) != maxLine/2+3 {
		t.Errorf("%d lines", len(lines))
	}
}

func TestConfigStrings(t *testing.T) {
	t.Parallel()
	c, err := NewConfig(map[string]any{"s": "text", "n": 1.5, "l": []any{1, "a"}, "nil": nil})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Texts); got != `map[l:[1,"a"] n:1.5 nil:null s:text]` {
		t.Error(got)
	}
}
