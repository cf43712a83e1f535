package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Token is what is known of a token: never the token itself.
type Token struct {
	ID      string            `json:"id"`
	Hash    [sha256.Size]byte `json:"hash"` // SHA-256 of the whole token
	Role    string            `json:"role"`
	Plugins []string          `json:"plugins"` // name patterns; empty: none
	Note    string            `json:"note,omitempty"`
	Created time.Time         `json:"created"`
	Expires time.Time         `json:"expires,omitzero"` // zero: never
	Revoked time.Time         `json:"revoked,omitzero"` // zero: it isn't
	By      string            `json:"by"`               // who made it
}

// Clone returns a copy that shares nothing with t.
func (t *Token) Clone() Token {
	c := *t
	c.Plugins = slices.Clone(t.Plugins)
	return c
}

// Over reports whether the token is worth nothing any more.
func (t *Token) Over(now time.Time) bool {
	end := t.end()
	return !end.IsZero() && !now.Before(end)
}

// end is when the token is worth nothing any more: revoked or expired. It's zero if that isn't known to come.
func (t *Token) end() time.Time {
	if t.Revoked.IsZero() || !t.Expires.IsZero() && t.Expires.Before(t.Revoked) {
		return t.Expires
	}
	return t.Revoked
}

const (
	// MaxTokens is how many tokens there can be.
	MaxTokens = 10_000
	// MaxSecrets is how many secrets there can be.
	MaxSecrets = 1_000
	// keepOver is how long a token is listed that is worth nothing any more.
	keepOver = 90 * 24 * time.Hour
)

// WithToken returns the tokens with a new one, and the event; see PutRequest.Apply. Tokens that have been worth nothing for 90 days go;
// there is always one left then, which is what keeps a server closed.
func WithToken(old []Token, t Token, now time.Time) ([]Token, *Event, error) {
	next := slices.DeleteFunc(slices.Clone(old), func(o Token) bool { return o.Over(now.Add(-keepOver)) })
	if slices.ContainsFunc(next, func(o Token) bool { return o.ID == t.ID }) {
		return nil, nil, fmt.Errorf("%w: there is a token %s", ErrConflict, t.ID)
	}
	if len(next) >= MaxTokens {
		return nil, nil, fmt.Errorf("%w tokens: %d", ErrFull, len(next))
	}
	e := &Event{Action: ActionTokenCreate, By: t.By, Token: t.ID, Role: t.Role, Plugins: slices.Clone(t.Plugins), Note: t.Note}
	return append(next, t.Clone()), e, nil
}

// WithoutToken returns the tokens with one revoked, and the event, which is nil if it was already; see PutRequest.Apply.
func WithoutToken(old []Token, id, by string, now time.Time) ([]Token, Token, *Event, error) {
	i := slices.IndexFunc(old, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return nil, Token{}, nil, ErrNotFound
	}
	if !old[i].Revoked.IsZero() {
		return old, old[i].Clone(), nil, nil
	}
	next := slices.Clone(old)
	next[i].Revoked = now
	return next, next[i].Clone(), &Event{Action: ActionTokenRevoke, By: by, Token: id}, nil
}

// Secret is a secret that was given to the server: where it may be sent, by whom, and its value, which only the server can open.
type Secret struct {
	Name    string    `json:"name"`
	Sealed  []byte    `json:"sealed"`
	Allow   []string  `json:"allow"`   // patterns of where it may be sent
	Plugins []string  `json:"plugins"` // name patterns of who may send it
	Updated time.Time `json:"updated"`
	By      string    `json:"by"`
}

// Clone returns a copy that shares nothing with s.
func (s *Secret) Clone() Secret {
	c := *s
	c.Sealed, c.Allow, c.Plugins = bytes.Clone(s.Sealed), slices.Clone(s.Allow), slices.Clone(s.Plugins)
	return c
}

// WithSecret returns the secrets with one more or another, ordered by name, and the event; see PutRequest.Apply.
func WithSecret(old []Secret, s Secret) ([]Secret, *Event, error) {
	next := slices.DeleteFunc(slices.Clone(old), func(o Secret) bool { return o.Name == s.Name })
	if len(next) >= MaxSecrets {
		return nil, nil, fmt.Errorf("%w secrets: %d", ErrFull, len(next))
	}
	next = append(next, s.Clone())
	slices.SortFunc(next, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return next, &Event{Action: ActionSecretSet, By: s.By, Secret: s.Name, Plugins: slices.Clone(s.Plugins)}, nil
}

// WithoutSecret returns the secrets without one, and the event; see PutRequest.Apply.
func WithoutSecret(old []Secret, name, by string) ([]Secret, *Event, error) {
	next := slices.DeleteFunc(slices.Clone(old), func(o Secret) bool { return o.Name == name })
	if len(next) == len(old) {
		return nil, nil, ErrNotFound
	}
	return next, &Event{Action: ActionSecretRemove, By: by, Secret: name}, nil
}
