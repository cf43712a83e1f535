package policy

import (
	"regexp"
	"strings"
	"testing"
)

var (
	// The URL Standard's "ends in a number checker", of a label in lower case.
	numeric = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
	// What the library misreads as a number, though it's a name.
	misread = regexp.MustCompile(`^(-[0-9]+|0-[0-7]+|0x-[0-9a-f]+)$`)
)

// TestHostsThatLookLikeNumbers goes through all short labels of these characters: those that end in a number by the standard are IPv4
// addresses or refused, the others are names.
func TestHostsThatLookLikeNumbers(t *testing.T) {
	t.Parallel()
	labels := []string{""}
	for begin, n := 0, 0; n < 5; n++ {
		end := len(labels)
		for _, l := range labels[begin:end] {
			for _, c := range "079xag-" {
				labels = append(labels, l+string(c))
			}
		}
		begin = end
	}
	for _, last := range labels[1:] {
		for _, before := range []string{"", "a.", "1.", "-1.", "a-b."} {
			for _, dot := range []string{"", "."} {
				host := before + last + dot
				u, fail := ParseURL("http://" + host)
				switch {
				case numeric.MatchString(last):
					plain := before == "" || before == "1."
					if fail == nil && (!u.addr.Is4() || !plain) {
						t.Errorf("%s is read as %s", host, u.host)
					}
					if fail != nil && plain && !strings.ContainsAny(last, "79") { // in octal
						t.Errorf("%s is refused: %v", host, fail)
					}
				case misread.MatchString(last):
					if fail == nil {
						t.Errorf("%s is read as %s", host, u.host)
					}
				case fail != nil || u.host != host || u.addr.IsValid():
					t.Errorf("%s: %v, %v", host, u, fail)
				}
			}
		}
	}
}

// TestNamesAreStable goes through the characters that scripts, symbols and forms of compatibility have in Unicode's first plane: whatever
// name comes of one, that name parses to itself, so that what was matched is what is looked up.
func TestNamesAreStable(t *testing.T) {
	t.Parallel()
	parsed := 0
	for c := rune(0x21); c < 0x10000; c++ {
		if 0x3400 <= c && c < 0xa000 || 0xac00 <= c && c < 0xf900 { // ideographs, Hangul, and what is nobody's
			continue
		}
		for _, host := range []string{string(c), "1" + string(c), "a" + string(c) + "b.example", "A_B" + string(c)} {
			u, fail := ParseURL("http://" + host + "/")
			if fail != nil || u.Path() != "/" || u.hasQuery {
				continue
			}
			parsed++
			if again, fail := ParseURL(u.String()); fail != nil || again.String() != u.String() || again.Host() != u.Host() {
				t.Errorf("%+q is read as %s, and that as %v, %v", host, u, again, fail)
			}
		}
	}
	if parsed < 10_000 {
		t.Errorf("only %d were names", parsed)
	}
}
