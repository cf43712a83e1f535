package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/jedisct1/go-minisign"
)

// Key is a public key, from ParseKey. Keys can be compared; the zero Key verifies nothing.
type Key struct{ public minisign.PublicKey }

// ID is the key's ID as minisign prints it, such as E7620F1842B4E81F. It's chosen by who makes the key, and identifies nobody by itself.
func (k Key) ID() string { return keyID(k.public.KeyId) }

const (
	secretKeyBytes = 158
	signatureBytes = 74
)

// ParseKey reads a public key: the one line that minisign prints ("RW" and 54 more characters), or the two lines of a .pub file. Space around
// the lines is ignored. Errors don't show the text: it may be a secret key.
func ParseKey(text string) (Key, error) {
	const want = "give the line that begins with RW, or the two lines of minisign.pub"
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	switch {
	case len(text) > MaxSize:
		return Key{}, fmt.Errorf("not a minisign public key: it has %d bytes; %s", len(text), want)
	case last == "":
		return Key{}, errors.New("no minisign public key; " + want)
	case len(lines) == 4 && strings.HasPrefix(lines[2], trusted):
		return Key{}, errors.New("this is a minisign signature, not a public key; " + want)
	case len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[0], untrusted):
		return Key{}, fmt.Errorf("not a minisign public key: it has %s; %s", count(len(lines), "line"), want)
	case strings.Contains(last, "\r"): // base64 decoding would pass over it
		return Key{}, errors.New("not a minisign public key: a line is broken up; " + want)
	}
	public, err := minisign.NewPublicKey(last)
	if err == nil && public.SignatureAlgorithm == legacy { // both algorithms have such keys
		return Key{public: public}, nil
	}
	data, _ := base64.StdEncoding.DecodeString(last)
	switch len(data) {
	case secretKeyBytes:
		return Key{}, errors.New("this is a minisign secret key, which stays with who signs; " + want)
	case signatureBytes:
		return Key{}, errors.New("this is a minisign signature, not a public key; " + want)
	}
	return Key{}, errors.New("not a minisign public key; " + want)
}
