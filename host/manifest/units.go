package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	units "github.com/docker/go-units"
)

// Duration is a length of time. In the files it is a string such as "10s",
// "100ms" or "1m30s", with the units of [time.ParseDuration], or 0.
type Duration time.Duration

// ParseDuration parses "10s", "100ms", "1m30s", "0s" or "0".
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d < 0:
		return 0, errors.New("a duration can't be negative")
	case err == nil:
		return Duration(d), nil
	}
	if _, numErr := strconv.ParseFloat(s, 64); numErr == nil {
		return 0, fmt.Errorf("%s without a unit; write %ss or %sms, for example", s, s, s)
	}
	return 0, fmt.Errorf("%q is not a duration; write 10s, 100ms or 5m, for example", s)
}

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives the shortest form that ParseDuration reads back: "5m", not
// "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText gives the String form; JSON and YAML use it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// UnmarshalJSON reads a string or the number 0.
func (d *Duration) UnmarshalJSON(data []byte) error {
	return unmarshalScalar(data, d.UnmarshalText)
}

// Bytes is a number of bytes. In the files it is a whole number or a string
// with a unit: "64KiB", "1MiB" and "2GiB" count in steps of 1024, "64kB", "8MB"
// and "2GB" in steps of 1000.
type Bytes int64

// sizeForm is a whole number of bytes, or any number of a larger unit.
var sizeForm = regexp.MustCompile(`^([0-9]+ ?[bB]?|[0-9]+([.][0-9]+)? ?[kKmMgGtTpP]([iI]?[bB]?))$`)

// ParseBytes parses "1048576", "1MiB", "64KiB" or "8MB".
func ParseBytes(s string) (Bytes, error) {
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("a size can't be negative")
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Bytes(n), nil
	}
	if !sizeForm.MatchString(s) {
		return 0, fmt.Errorf("%q is not a size; write 1MiB, 64KiB or a number of bytes, for example", s)
	}
	// go-units takes "1MB" for a mebibyte in one function and "1MiB" for a
	// megabyte in the other, so the unit chooses the function.
	parse := units.FromHumanSize
	if strings.ContainsAny(s, "iI") {
		parse = units.RAMInBytes
		s = strings.TrimRight(s, "bB") + "B"
	}
	n, err := parse(s)
	if err != nil || n < 0 || n == math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return Bytes(n), nil
}

// String gives the exact size in the largest unit that divides it, binary units
// first: "1MiB", "8MB", "1500B".
func (b Bytes) String() string {
	for _, unit := range []struct {
		size Bytes
		name string
	}{
		{units.PiB, "PiB"}, {units.TiB, "TiB"}, {units.GiB, "GiB"}, {units.MiB, "MiB"}, {units.KiB, "KiB"},
		{units.PB, "PB"}, {units.TB, "TB"}, {units.GB, "GB"}, {units.MB, "MB"}, {units.KB, "kB"},
	} {
		if b != 0 && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText gives the String form; JSON and YAML use it.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseBytes reads.
func (b *Bytes) UnmarshalText(text []byte) error {
	parsed, err := ParseBytes(string(text))
	if err == nil {
		*b = parsed
	}
	return err
}

// UnmarshalJSON reads a string or a whole number.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	return unmarshalScalar(data, b.UnmarshalText)
}

func unmarshalScalar(data []byte, unmarshal func([]byte) error) error {
	if len(data) == 0 || data[0] != '"' {
		return unmarshal(data)
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	return unmarshal([]byte(s))
}
