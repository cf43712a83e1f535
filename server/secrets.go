package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/sealed"
	"github.com/sortie-run/sortie/server/store"
)

// secrets are what the host puts into plugins' fetches: those that the operator's configuration defines, and those that the server was given
// and keeps sealed. Where both have a name, the configuration counts.
type secrets struct {
	store  store.Store
	key    *sealed.Key                        // nil: none can be kept
	give   func(map[string]host.Secret) error // all of them, to the host
	getenv func(string) (string, bool)
	log    *slog.Logger

	change   sync.Mutex // over all below, and what the store has
	operator *manifest.Operator
	values   map[string]string // of the operator's
	files    []*secretFile     // that those are in
	stored   []storedSecret

	known atomic.Pointer[manifest.Operator] // the operator's configuration, with all secrets in it
}

// storedSecret is a secret that the store has.
type storedSecret struct {
	store.Secret
	value   string
	problem string // why there's no value; "": there is one
}

// newSecrets gives the host what there is. A stored secret that can't be opened keeps the server from nothing but sending it.
func newSecrets(ctx context.Context, d Deps) (*secrets, error) {
	s := &secrets{
		store: d.Store, key: d.Key, log: d.Log, getenv: d.LookupEnv, give: func(map[string]host.Secret) error { return nil },
	}
	if d.Runtime != nil {
		s.give = d.Runtime.SetSecrets
	}
	if s.getenv == nil {
		s.getenv = os.LookupEnv
	}
	all, err := d.Store.Secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the stored secrets: %w", err)
	}
	for _, kept := range all {
		s.stored = append(s.stored, s.open(kept))
	}
	return s, s.reload(d.Operator)
}

// reload takes over the secrets of an operator's configuration. It fails, and changes nothing, if one of them has no value.
func (s *secrets) reload(op *manifest.Operator) error {
	s.change.Lock()
	defer s.change.Unlock()
	values, err := op.ResolveSecrets(s.getenv, os.ReadFile)
	if err != nil {
		return err
	}
	s.operator, s.values, s.files = op, values, nil
	for _, name := range slices.Sorted(maps.Keys(op.Secrets)) {
		if defined := op.Secrets[name]; defined.File != "" {
			s.files = append(s.files, &secretFile{name: name, defined: defined})
		}
	}
	return s.publish()
}

// open opens a stored secret.
func (s *secrets) open(kept store.Secret) storedSecret {
	opened := storedSecret{Secret: kept}
	value, err := s.key.Open(kept.Name, kept.Sealed)
	if err == nil {
		err = manifest.CheckSecretValue(string(value))
	}
	if err == nil {
		_, err = manifest.CheckSecret(kept.Name, kept.Allow, kept.Plugins)
	}
	if err != nil {
		s.log.Error("a stored secret can't be used; fetches that need it fail", "secret", kept.Name, "err", err)
		opened.problem = err.Error()
		if s.key == nil {
			opened.problem = "the server has no key"
		}
		return opened
	}
	opened.value = string(value)
	return opened
}

// publish gives all secrets to the host, and then lets deploys see them. It's called with the lock held.
func (s *secrets) publish() error {
	known := *s.operator
	known.Secrets = map[string]manifest.OperatorSecret{}
	all := map[string]host.Secret{}
	for _, kept := range s.stored {
		if bounds, err := manifest.CheckSecret(kept.Name, kept.Allow, kept.Plugins); err == nil {
			known.Secrets[kept.Name] = bounds
			all[kept.Name] = host.Secret{Value: kept.value, Allow: bounds.Allow, Plugins: bounds.Plugins}
		}
	}
	for name, defined := range s.operator.Secrets {
		known.Secrets[name] = defined
		all[name] = host.Secret{Value: s.values[name], Allow: defined.Allow, Plugins: defined.Plugins}
	}
	if err := s.give(all); err != nil {
		return fmt.Errorf("give the host its secrets: %w", err)
	}
	s.known.Store(&known)
	return nil
}

// set keeps a secret, in place of one that has its name, and tells whether there was none.
func (s *secrets) set(ctx context.Context, kept store.Secret, value string) (created bool, err error) {
	if s.key == nil {
		return false, host.NewError(codeConflict, "The server has no key to seal secrets with: start it with SORTIE_SECRETS_KEY or SORTIE_SECRETS_KEY_FILE.")
	}
	if kept.Sealed, err = s.key.Seal(kept.Name, []byte(value)); err != nil {
		return false, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	if _, ok := s.operator.Secrets[kept.Name]; ok {
		return false, host.NewError(codeConflict, "The operator's configuration defines the secret %s: change it there.", kept.Name)
	}
	if err := s.store.SetSecret(ctx, kept); err != nil {
		if errors.Is(err, store.ErrFull) {
			return false, host.NewError(codeConflict, "There are %d secrets, as many as there may be.", store.MaxSecrets)
		}
		return false, errors.Join(err, s.anew(ctx))
	}
	n := len(s.stored)
	next := slices.DeleteFunc(slices.Clone(s.stored), func(o storedSecret) bool { return o.Name == kept.Name })
	created = len(next) == n
	s.stored = append(next, storedSecret{Secret: kept, value: value})
	return created, s.publish()
}

// remove forgets a secret that the server was given.
func (s *secrets) remove(ctx context.Context, name, by string) error {
	s.change.Lock()
	defer s.change.Unlock()
	switch err := s.store.DeleteSecret(ctx, name, by); {
	case err == nil:
	case !errors.Is(err, store.ErrNotFound):
		return errors.Join(err, s.anew(ctx))
	default:
		if _, ok := s.operator.Secrets[name]; ok {
			return host.NewError(codeConflict, "The operator's configuration defines the secret %s: remove it there.", name)
		}
		if !manifest.ValidSecretName(name) { // it may be the value
			return host.NewError(codeNotFound, "That is no secret's name; `sortie secret list` shows those there are.")
		}
		return host.NewError(codeNotFound, "There is no secret %.130q; `sortie secret list` shows those there are.", name)
	}
	s.stored = slices.DeleteFunc(slices.Clone(s.stored), func(o storedSecret) bool { return o.Name == name })
	return s.publish()
}

// anew takes the store's secrets over after an error that doesn't say that nothing has changed. It's called with the lock held.
func (s *secrets) anew(ctx context.Context) error {
	all, err := s.store.Secrets(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	s.stored = nil
	for _, kept := range all {
		s.stored = append(s.stored, s.open(kept))
	}
	return s.publish()
}

// list describes all secrets, ordered by name, without a value.
func (s *secrets) list() []Secret {
	s.change.Lock()
	defer s.change.Unlock()
	list := []Secret{}
	for name, defined := range s.operator.Secrets {
		d := Secret{Name: name, Allow: defined.Allow, Plugins: defined.Plugins, Source: "env"}
		if defined.File != "" {
			d.Source = "file"
		}
		for _, f := range s.files {
			if f.name == name && f.failed != "" {
				d.Problem = "the file can't be used, so the value before is sent: " + f.failed
			}
		}
		list = append(list, d)
	}
	for _, kept := range s.stored {
		d := Secret{Name: kept.Name, Allow: kept.Allow, Plugins: kept.Plugins, Source: "stored", Updated: &kept.Updated, By: kept.By, Problem: kept.problem}
		if _, ok := s.operator.Secrets[kept.Name]; ok {
			d.Problem = "the operator's configuration defines a secret of that name, which is sent in its place"
		}
		list = append(list, d)
	}
	slices.SortStableFunc(list, func(a, b Secret) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// secretFile is the file that a secret of the configuration is in.
type secretFile struct {
	name    string
	defined manifest.OperatorSecret
	info    os.FileInfo // when it was last read; nil: it wasn't, or couldn't be
	read    time.Time
	failed  string // why it couldn't be read the last time; "": it could
}

// watch reads secrets' files again when they change, until ctx ends.
func (s *secrets) watch(ctx context.Context) {
	each := time.NewTicker(secretsEach)
	defer each.Stop()
	for {
		select {
		case <-each.C:
			s.reread()
		case <-ctx.Done():
			return
		}
	}
}

// reread takes over the values of files that have changed. One that can't be used is logged once, and the value before stays.
func (s *secrets) reread() {
	s.change.Lock()
	defer s.change.Unlock()
	changed := false
	for _, f := range s.files {
		if !f.changed() {
			continue
		}
		value, err := f.value()
		if err != nil {
			if f.failed != err.Error() {
				s.log.Error("a secret's file can't be used; the value before goes on being sent", "secret", f.name, "err", err)
			}
			f.failed = err.Error()
			continue
		}
		if f.failed = ""; value != s.values[f.name] {
			s.values[f.name], changed = value, true
			s.log.Info("secret changed", "secret", f.name, "file", f.defined.File)
		}
	}
	if !changed {
		return
	}
	if err := s.publish(); err != nil {
		s.log.Error("secrets not changed", "err", err)
	}
}

// changed tells whether the file may be another than the one that was read, or have another content.
func (f *secretFile) changed() bool {
	info, err := os.Stat(f.defined.File)
	if err != nil || f.info == nil {
		return true
	}
	same := os.SameFile(info, f.info) && info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime())
	// A file that was read soon after it had changed may have changed again without a later time to show for it.
	return !same || f.read.Sub(f.info.ModTime()) < fileTick
}

// value reads the file.
func (f *secretFile) value() (string, error) {
	info, err := os.Stat(f.defined.File) // before: what changes meanwhile is seen the next time
	if err != nil {
		f.info = nil
		return "", err
	}
	f.info, f.read = info, time.Now()
	one := manifest.Operator{Secrets: map[string]manifest.OperatorSecret{f.name: f.defined}}
	values, err := one.ResolveSecrets(os.LookupEnv, os.ReadFile)
	return values[f.name], err
}

// setSecret answers PUT /v1/secrets/{name}.
func (s *Server) setSecret(c echo.Context) error {
	var wanted NewSecret
	if err := s.readJSONWithin(c, secretBytes, &wanted); err != nil {
		return err
	}
	name := pluginName(c) // the parameter's name, not a plugin
	bounds, err := manifest.CheckSecret(name, wanted.Allow, wanted.Plugins)
	if err != nil {
		return host.NewError(codeBadRequest, "%s", err)
	}
	if err := manifest.CheckSecretValue(wanted.Value); err != nil {
		return host.NewError(codeBadRequest, "value: %s", err)
	}
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	kept := store.Secret{
		Name: name, Allow: bounds.Allow, Plugins: bounds.Plugins, Updated: time.Now().UTC().Truncate(time.Second), By: callerOf(c).name,
	}
	created, err := s.secrets.set(c.Request().Context(), kept, wanted.Value)
	if err != nil {
		return err
	}
	s.log.Info("secret set", "secret", name, "allow", kept.Allow, "plugins", kept.Plugins, "created", created, "by", kept.By)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return reply(c, status, Secret{Name: name, Allow: kept.Allow, Plugins: kept.Plugins, Source: "stored", Updated: &kept.Updated, By: kept.By})
}

// listSecrets answers GET /v1/secrets.
func (s *Server) listSecrets(c echo.Context) error {
	return reply(c, http.StatusOK, SecretList{Secrets: s.secrets.list()})
}

// removeSecret answers DELETE /v1/secrets/{name}.
func (s *Server) removeSecret(c echo.Context) error {
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	name, by := pluginName(c), callerOf(c).name
	if err := s.secrets.remove(c.Request().Context(), name, by); err != nil {
		return err
	}
	s.log.Info("secret removed", "secret", name, "by", by)
	return c.NoContent(http.StatusNoContent)
}
