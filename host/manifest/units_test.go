package manifest

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want time.Duration
		text string
	}{
		{"10s", 10 * time.Second, "10s"},
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{"100ms", 100 * time.Millisecond, "100ms"},
		{"60s", time.Minute, "1m"},
		{"5m", 5 * time.Minute, "5m"},
		{"90s", 90 * time.Second, "1m30s"},
		{"1h", time.Hour, "1h"},
		{"1h0m5s", time.Hour + 5*time.Second, "1h0m5s"},
		{"10h10m", 10*time.Hour + 10*time.Minute, "10h10m"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
	} {
		d, err := ParseDuration(tt.in)
		if err != nil || d.Std() != tt.want {
			t.Errorf("%s: %v, %v", tt.in, d, err)
		}
		if d.String() != tt.text {
			t.Errorf("%s: written as %s, want %s", tt.in, d, tt.text)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%s: read back as %v, %v", d, again, err)
		}
	}
	for _, in := range []string{"", "10", "1.5", "-1s", "1d", "s", "NaN", "10 s", "9999999h"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q: accepted as %s", in, d)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want Bytes
		text string
	}{
		{"0", 0, "0B"},
		{"1500", 1500, "1500B"},
		{"1MiB", 1 << 20, "1MiB"},
		{"1mib", 1 << 20, "1MiB"},
		{"64KiB", 64 << 10, "64KiB"},
		{"1 GiB", 1 << 30, "1GiB"},
		{"1.5KiB", 1536, "1536B"},
		{"1Mi", 1 << 20, "1MiB"},
		{"8MB", 8_000_000, "8MB"},
		{"64kB", 64_000, "64kB"},
		{"2M", 2_000_000, "2MB"},
		{"1048576", 1 << 20, "1MiB"},
		{"10B", 10, "10B"},
		{"1PiB", 1 << 50, "1PiB"},
		{"9223372036854775807", math.MaxInt64, "9223372036854775807B"},
	} {
		b, err := ParseBytes(tt.in)
		if err != nil || b != tt.want {
			t.Errorf("%s: %d, %v", tt.in, b, err)
		}
		if b.String() != tt.text {
			t.Errorf("%s: written as %s, want %s", tt.in, b, tt.text)
		}
		if again, err := ParseBytes(b.String()); b < 1<<53 && (err != nil || again != b) {
			t.Errorf("%s: read back as %v, %v", b, again, err)
		}
	}
	for _, in := range []string{"", "-1", "-1MiB", "1XiB", "MiB", "1 2", "0x10", "1e3", "NaN", "Inf", "9223372036854775808", "99999PiB", "1MiBs", ".5MiB"} {
		if b, err := ParseBytes(in); err == nil {
			t.Errorf("%q: accepted as %s", in, b)
		}
	}
}

func TestUnitsInJSON(t *testing.T) {
	t.Parallel()
	type both struct {
		D Duration
		B Bytes
	}
	for in, want := range map[string]both{
		`{"D":"1m","B":"1KiB"}`: {Duration(time.Minute), 1024},
		`{"D":0,"B":2048}`:      {0, 2048},
	} {
		var got both
		if err := json.Unmarshal([]byte(in), &got); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again both
		if err := json.Unmarshal(text, &again); err != nil || again != want {
			t.Errorf("%s: %v, %v", text, again, err)
		}
	}
	for _, in := range []string{`{"D":5}`, `{"D":"x"}`, `{"B":1.5}`, `{"B":"x"}`, `{"B":true}`, `{"D":[]}`} {
		var got both
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("%s: accepted as %v", in, got)
		}
	}
}
