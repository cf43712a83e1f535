package files

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

func (s *Store) tokensPath() string  { return filepath.Join(s.dir, "tokens"+recordSuffix) }
func (s *Store) secretsPath() string { return filepath.Join(s.dir, "secrets"+recordSuffix) }

// AddToken implements store.Store.
func (s *Store) AddToken(ctx context.Context, t store.Token) error {
	s.write.Lock()
	defer s.write.Unlock()
	old, err := s.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	next, e, err := store.WithToken(old, t, time.Now().UTC())
	if err == nil {
		err = s.replaceTokens(ctx, next, e)
	}
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	return nil
}

// RevokeToken implements store.Store.
func (s *Store) RevokeToken(ctx context.Context, id, by string) (store.Token, error) {
	s.write.Lock()
	defer s.write.Unlock()
	old, err := s.Tokens(ctx)
	if err != nil {
		return store.Token{}, fmt.Errorf("revoke token: %w", err)
	}
	next, t, e, err := store.WithoutToken(old, id, by, time.Now().UTC())
	if err == nil && e != nil {
		err = s.replaceTokens(ctx, next, e)
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("revoke token %.80q: %w", id, err)
	}
	return t, nil
}

// Tokens implements store.Store.
func (s *Store) Tokens(ctx context.Context) ([]store.Token, error) {
	var all []store.Token
	err := s.reading(ctx, func() {
		all = make([]store.Token, len(s.tokens))
		for i := range s.tokens {
			all[i] = s.tokens[i].Clone()
		}
	})
	return all, err
}

func (s *Store) replaceTokens(ctx context.Context, next []store.Token, e *store.Event) error {
	s.log.number(e)
	r := tokensRecord{Tokens: next}
	return s.commit(ctx, s.tokensPath(), &r, &r.header, e, func() { s.tokens = next })
}

// SetSecret implements store.Store.
func (s *Store) SetSecret(ctx context.Context, secret store.Secret) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.changeSecrets(ctx, "set", func(old []store.Secret) ([]store.Secret, *store.Event, error) {
		return store.WithSecret(old, secret)
	})
}

// DeleteSecret implements store.Store.
func (s *Store) DeleteSecret(ctx context.Context, name, by string) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.changeSecrets(ctx, "delete", func(old []store.Secret) ([]store.Secret, *store.Event, error) {
		return store.WithoutSecret(old, name, by)
	})
}

// Secrets implements store.Store.
func (s *Store) Secrets(ctx context.Context) ([]store.Secret, error) {
	var all []store.Secret
	err := s.reading(ctx, func() {
		all = make([]store.Secret, len(s.secrets))
		for i := range s.secrets {
			all[i] = s.secrets[i].Clone()
		}
	})
	return all, err
}

func (s *Store) changeSecrets(ctx context.Context, what string, change func([]store.Secret) ([]store.Secret, *store.Event, error)) error {
	old, err := s.Secrets(ctx)
	if err != nil {
		return fmt.Errorf("%s secret: %w", what, err)
	}
	next, e, err := change(old)
	if err == nil {
		s.log.number(e)
		r := secretsRecord{Secrets: next}
		err = s.commit(ctx, s.secretsPath(), &r, &r.header, e, func() { s.secrets = next })
	}
	if err != nil {
		return fmt.Errorf("%s secret: %w", what, err)
	}
	return nil
}
