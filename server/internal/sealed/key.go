package sealed

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"filippo.io/age"
)

// Key seals secrets and opens them, from ParseKey. It can be used concurrently, and doesn't print itself.
type Key struct {
	// identity is a function because package fmt calls no methods in another type's unexported field, and prints what pointers there lead to.
	identity func() *age.X25519Identity
}

var errNoKey = errors.New("no key")

const (
	maxKeyText = 4 << 10
	hidden     = "[key]"
)

// String implements fmt.Stringer.
func (Key) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (Key) GoString() string { return hidden }

// Format implements fmt.Formatter, for the verbs that the above aren't asked about.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalJSON implements json.Marshaler.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// Generate makes a key, as the text of a file for ParseKey, or for age itself.
func Generate() (text string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("generate a key: %w", err)
	}
	return fmt.Sprintf("# Sortie's secrets are sealed with this key. Without it they can't be read: keep a copy elsewhere.\n"+
		"# public key: %s\n%s\n", id.Recipient(), id), nil
}

// ParseKey reads a file that age-keygen or Generate wrote: one line with "AGE-SECRET-KEY-1…", and any empty lines and comments ("# …").
// Errors don't show the text.
func ParseKey(text string) (*Key, error) {
	const want = "give a file that age-keygen wrote, whose one key begins with AGE-SECRET-KEY-1"
	if len(text) > maxKeyText {
		return nil, fmt.Errorf("not an age key: it has %d bytes; %s", len(text), want)
	}
	var k *Key
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case k != nil:
			return nil, fmt.Errorf("line %d: there's a key already; %s", n, want)
		case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
			return nil, fmt.Errorf("line %d: a post-quantum age key; %s", n, want)
		case strings.HasPrefix(line, "age1"):
			return nil, fmt.Errorf("line %d: the public half of an age key; %s", n, want)
		case strings.HasPrefix(line, "age-encryption.org/") || strings.HasPrefix(line, "-----BEGIN AGE"):
			return nil, fmt.Errorf("line %d: the key is encrypted; decrypt it with `age -d`", n)
		}
		id, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: not an age key; %s", n, want) // age's error says where in the key it is wrong
		}
		k = &Key{identity: func() *age.X25519Identity { return id }}
	}
	if k == nil {
		return nil, errors.New("no age key; " + want)
	}
	return k, nil
}
