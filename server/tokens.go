package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// tokens knows the credentials that are accepted. Callers read a snapshot without a lock.
type tokens struct {
	store store.Store
	log   *slog.Logger
	admin *[sha256.Size]byte // of Deps.AdminToken; nil: there is none
	now   func() time.Time

	change sync.Mutex // held while tokens are created or revoked
	byID   atomic.Pointer[map[string]store.Token]
}

func newTokens(ctx context.Context, admin string, st store.Store, log *slog.Logger) (*tokens, error) {
	t := &tokens{store: st, log: log, now: time.Now}
	if admin != "" {
		sum := sha256.Sum256([]byte(admin))
		t.admin = &sum
	}
	return t, t.reload(ctx)
}

func (t *tokens) reload(ctx context.Context) error {
	all, err := t.store.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("list the stored tokens: %w", err)
	}
	byID := make(map[string]store.Token, len(all))
	for _, token := range all {
		byID[token.ID] = token
	}
	t.byID.Store(&byID)
	return nil
}

// open reports whether no credential is needed, because there never was one. That all tokens have expired doesn't open a server.
func (t *tokens) open() bool { return t.admin == nil && len(*t.byID.Load()) == 0 }

// A token is "sortie_", its id, "_" and 128 random bits, in the letters and digits of base32.
const (
	tokenPrefix = "sortie_"
	tokenIDSize = 8
	tokenMost   = 256 // the longest that is looked at; SORTIE_ADMIN_TOKEN can have any length
)

// caller returns whose credential the value of an Authorization header is. If it's one that was accepted once, over says why it isn't
// any more. Comparing takes the same time for every token of a length, right or wrong.
func (t *tokens) caller(value string) (who *caller, over string) {
	known, admin := t.known(value)
	switch {
	case admin:
		return &caller{name: "admin", role: roleAdmin}, ""
	case known == nil:
		return nil, ""
	case !known.Revoked.IsZero():
		return nil, "The token " + known.ID + " was revoked."
	case known.Over(t.now()):
		return nil, "The token " + known.ID + " expired at " + known.Expires.UTC().Format(time.RFC3339) + "."
	}
	r, _ := parseRole(known.Role)
	return &caller{name: "token " + known.ID, role: r, plugins: known.Plugins}, ""
}

// known returns the stored token that the value of an Authorization header holds, whether it's over or not, or tells that it's the
// admin's.
func (t *tokens) known(value string) (token *store.Token, admin bool) {
	text := bearer(value)
	if text == "" {
		return nil, false
	}
	sum := sha256.Sum256([]byte(text))
	if t.admin != nil && subtle.ConstantTimeCompare(sum[:], t.admin[:]) == 1 {
		return nil, true
	}
	rest, ours := strings.CutPrefix(text, tokenPrefix)
	if !ours || len(text) > tokenMost || len(rest) <= tokenIDSize {
		return nil, false
	}
	found, ok := (*t.byID.Load())[rest[:tokenIDSize]]
	if !ok || subtle.ConstantTimeCompare(sum[:], found.Hash[:]) != 1 {
		return nil, false
	}
	return &found, false
}

// without returns the credentials that are neither ours nor were, nor the issuer's for us: those are nobody's business but ours.
func (t *tokens) without(p *people, values []string) []string {
	var others []string
	for _, v := range values {
		if token, admin := t.known(v); token == nil && !admin && !p.claims(bearer(v)) && !t.mentioned(v) {
			others = append(others, v)
		}
	}
	return others
}

// mentioned reports whether a value holds a token of ours in a form that isn't accepted, after a tab for instance.
func (t *tokens) mentioned(value string) bool {
	_, rest, ok := strings.Cut(value, tokenPrefix)
	if !ok || len(rest) <= tokenIDSize {
		return false
	}
	_, known := (*t.byID.Load())[rest[:tokenIDSize]]
	return known && rest[tokenIDSize] == '_'
}

// create makes a token. The text that is returned is kept nowhere.
func (t *tokens) create(ctx context.Context, token store.Token) (store.Token, string, error) {
	t.change.Lock()
	defer t.change.Unlock()
	if t.open() && token.Role != roleAdmin.String() {
		return store.Token{}, "", host.NewError(codeConflict, "The first token closes the server to all who have none, so it must be an admin's: "+
			"create one with the role admin first, or start the server with SORTIE_ADMIN_TOKEN.")
	}
	token.ID = strings.ToLower(rand.Text()[:tokenIDSize])
	text := tokenPrefix + token.ID + "_" + rand.Text()
	token.Hash = sha256.Sum256([]byte(text))
	if err := t.store.AddToken(ctx, token); err != nil {
		if errors.Is(err, store.ErrFull) {
			return store.Token{}, "", host.NewError(codeConflict, "There are %d tokens, as many as there may be. Those that are over go after 90 days.", store.MaxTokens)
		}
		if _, kept := t.anew(ctx)[token.ID]; !kept {
			return store.Token{}, "", err
		} // it's there, whatever failed after that
	}
	t.anew(ctx)
	return token, text, nil
}

// anew takes the store's tokens over. What can't be read stays as it was, and is logged.
func (t *tokens) anew(ctx context.Context) map[string]store.Token {
	if err := t.reload(context.WithoutCancel(ctx)); err != nil {
		t.log.Error("tokens not read again", "err", err)
	}
	return *t.byID.Load()
}

// revoke ends a token. The last way to manage the server stays.
func (t *tokens) revoke(ctx context.Context, id, by string) (store.Token, error) {
	t.change.Lock()
	defer t.change.Unlock()
	all := *t.byID.Load()
	token, ok := all[id]
	if !ok && len(id) > tokenIDSize { // maybe the token itself
		return store.Token{}, host.NewError(codeNotFound, "That is no token's id, which has %d characters; `sortie token list` shows those there are.", tokenIDSize)
	}
	if !ok {
		return store.Token{}, host.NewError(codeNotFound, "There is no token %.80q; `sortie token list` shows those there are.", id)
	}
	if t.admin == nil && token.Role == roleAdmin.String() && !token.Over(t.now()) {
		others := 0
		for _, other := range all {
			if other.ID != id && other.Role == roleAdmin.String() && !other.Over(t.now()) {
				others++
			}
		}
		if others == 0 {
			return store.Token{}, host.NewError(codeConflict, "The token %s is the last of an admin: without it nobody could manage the server. "+
				"Create another first, or start the server with SORTIE_ADMIN_TOKEN.", id)
		}
	}
	token, err := t.store.RevokeToken(ctx, id, by)
	t.anew(ctx) // also on error: it may have been revoked
	return token, err
}

// createToken answers POST /v1/tokens.
func (s *Server) createToken(c echo.Context) error {
	var wanted NewToken
	if err := s.readJSON(c, &wanted); err != nil {
		return err
	}
	token, err := s.tokens.wanted(wanted)
	if err != nil {
		return err
	}
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	token.By = callerOf(c).name
	token, text, err := s.tokens.create(c.Request().Context(), token)
	if err != nil {
		return err
	}
	s.log.Info("token created", "token", token.ID, "role", token.Role, "plugins", token.Plugins, "by", token.By)
	return reply(c, http.StatusCreated, CreatedToken{Token: s.tokens.describe(token), Secret: text})
}

// wanted checks what a token is to be.
func (t *tokens) wanted(w NewToken) (store.Token, error) {
	if _, ok := parseRole(w.Role); !ok {
		return store.Token{}, host.NewError(codeBadRequest, "role is %.80q; it can be admin, deploy, read or invoke.", w.Role)
	}
	if len(w.Plugins) == 0 || w.Role == roleAdmin.String() {
		if len(w.Plugins) > 1 || len(w.Plugins) == 1 && w.Plugins[0] != "*" {
			return store.Token{}, host.NewError(codeBadRequest, "An admin's token is for all plugins: leave plugins out.")
		}
		w.Plugins = []string{"*"}
	}
	if len(w.Plugins) > tokenPatterns {
		return store.Token{}, host.NewError(codeBadRequest, "plugins has %d patterns; %d is the most.", len(w.Plugins), tokenPatterns)
	}
	for _, pattern := range w.Plugins {
		if err := manifest.CheckNamePattern(pattern); err != nil {
			return store.Token{}, host.NewError(codeBadRequest, "plugins: %v.", err)
		}
	}
	if err := checkNote(w.Note); err != nil {
		return store.Token{}, err
	}
	now := t.now().UTC().Truncate(time.Second)
	expires, err := parseExpiry(w.Expires, now)
	if err != nil {
		return store.Token{}, err
	}
	return store.Token{Role: w.Role, Plugins: w.Plugins, Note: w.Note, Created: now, Expires: expires}, nil
}

// parseExpiry reads when a token is to expire: "90d", "12h", a time as in RFC 3339, "never"; "" is tokenTime from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	var after time.Duration
	switch days, isDays := strings.CutSuffix(text, "d"); {
	case text == "never":
		return time.Time{}, nil
	case text == "":
		after = tokenTime
	case isDays:
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			after = time.Duration(n) * 24 * time.Hour
		}
	default:
		after, _ = time.ParseDuration(text)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			after = at.Sub(now)
		}
	}
	if after <= 0 || after > tokenLongest {
		return time.Time{}, host.NewError(codeBadRequest, "expires is %.80q; write 90d, 12h, 2030-01-31T00:00:00Z or never: a time to come, "+
			"at most %d days away.", text, tokenLongest/(24*time.Hour))
	}
	return now.Add(after).Truncate(time.Second), nil
}

// listTokens answers GET /v1/tokens.
func (s *Server) listTokens(c echo.Context) error {
	all, err := s.store.Tokens(c.Request().Context())
	if err != nil {
		return err
	}
	list := TokenList{Tokens: make([]Token, len(all))}
	for i, token := range all {
		list.Tokens[i] = s.tokens.describe(token)
	}
	return reply(c, http.StatusOK, list)
}

// revokeToken answers DELETE /v1/tokens/{id}.
func (s *Server) revokeToken(c echo.Context) error {
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	token, err := s.tokens.revoke(c.Request().Context(), c.Param("id"), callerOf(c).name)
	if err != nil {
		return err
	}
	s.log.Info("token revoked", "token", token.ID, "by", callerOf(c).name)
	return c.NoContent(http.StatusNoContent)
}

func (t *tokens) describe(token store.Token) Token {
	d := Token{
		ID: token.ID, Role: token.Role, Plugins: token.Plugins, Note: token.Note, Created: token.Created, By: token.By, State: "active",
	}
	if !token.Expires.IsZero() {
		d.Expires = &token.Expires
	}
	switch {
	case !token.Revoked.IsZero():
		d.Revoked, d.State = &token.Revoked, "revoked"
	case token.Over(t.now()):
		d.State = "expired"
	}
	return d
}
