package fetch

import (
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Expect is a set of statuses. The zero value expects any.
type Expect struct {
	ranges []statusRange
	text   string
}

type statusRange struct{ from, to int }

// ParseExpect reads a list of statuses (`200`), classes (`2xx`) and ranges (`200-299`), separated by commas, each between 100 and 599.
// The empty text expects any status. The error is an invalid_request.
func ParseExpect(text string) (Expect, error) {
	if strings.TrimSpace(text) == "" {
		return Expect{}, nil
	}
	e := Expect{text: text}
	for part := range strings.SplitSeq(text, ",") {
		r, ok := parseStatusRange(strings.Trim(part, " \t"))
		if !ok {
			return Expect{}, failure.New(failure.InvalidRequest,
				`expect has %s; write statuses, classes and ranges such as "2xx", "200,404" or "200-299"`, quote(part))
		}
		if len(e.ranges) == 100 {
			return Expect{}, failure.New(failure.InvalidRequest, "expect has more than 100 parts")
		}
		e.ranges = append(e.ranges, r)
	}
	return e, nil
}

// Match tells whether a status is among those expected.
func (e Expect) Match(status int) bool {
	for _, r := range e.ranges {
		if r.from <= status && status <= r.to {
			return true
		}
	}
	return len(e.ranges) == 0
}

// String returns the text that was parsed.
func (e Expect) String() string { return e.text }

func parseStatusRange(s string) (statusRange, bool) {
	if len(s) == 3 && '1' <= s[0] && s[0] <= '5' && strings.EqualFold(s[1:], "xx") {
		class := int(s[0]-'0') * 100
		return statusRange{class, class + 99}, true
	}
	low, high, isRange := strings.Cut(s, "-")
	from, ok := parseStatus(strings.TrimRight(low, " \t"))
	if !ok || !isRange {
		return statusRange{from, from}, ok
	}
	to, ok := parseStatus(strings.TrimLeft(high, " \t"))
	return statusRange{from, to}, ok && from <= to
}

func parseStatus(s string) (int, bool) {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
