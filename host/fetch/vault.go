package fetch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/manifest"
)

// Given is a secret that the operator gives out: its value, where it may be sent, and by whom.
type Given struct {
	Value   string   // "": there is none that could be used
	Allow   []string // patterns of the URLs it may be sent to, as in a manifest's rules; none: nowhere
	Plugins []string // name patterns of the plugins that may send it; none: no plugin
}

// Vault holds the operator's secrets by name. They may change while clients use them: a fetch that begins after [Vault.Set] has returned sends
// what Set was given, all of it and nothing older. One that needs a secret which isn't there, or which it mayn't send, fails with host_denied
// and sends nothing. The zero Vault is empty and ready for use. See RATIONALE.md, "How does a secret change while fetches run?".
type Vault struct {
	change   sync.Mutex // held by Set
	contents atomic.Pointer[contents]
}

// contents are what a vault holds at one time. They aren't changed any more.
type contents struct {
	secrets map[string]kept
	former  []former // the oldest first
}

// kept is a compiled Given.
type kept struct {
	value   string
	allow   *policy.Patterns
	plugins []string
}

// former is a value that isn't sent any more, and still mustn't be shown: by an invocation that had it from an upstream before, for example.
type former struct {
	name, value string
	since       time.Time
}

// How long, and how many at most, values are hidden that aren't sent any more. What they were sent with is over by then, or nearly so.
const (
	formerTime = 24 * time.Hour
	maxFormer  = 4096
)

// Set replaces everything in the vault. If it fails, nothing has changed; the error shows no value.
func (v *Vault) Set(all map[string]Given) error {
	next := &contents{secrets: make(map[string]kept, len(all))}
	for name, given := range all {
		if !httpguts.ValidHeaderFieldValue(given.Value) {
			return fmt.Errorf("secret %q: its value can't be sent in a header", name)
		}
		patterns, err := parsePatterns(given.Allow)
		if err != nil {
			return fmt.Errorf("secret %q: %w", name, err)
		}
		allow, err := policy.CompilePatterns(patterns)
		if err != nil {
			return fmt.Errorf("secret %q: %w", name, err)
		}
		next.secrets[name] = kept{given.Value, allow, slices.Clone(given.Plugins)}
	}
	v.change.Lock()
	defer v.change.Unlock()
	if last := v.contents.Load(); last != nil {
		now := time.Now()
		next.former = slices.DeleteFunc(slices.Clone(last.former), func(f former) bool { return now.Sub(f.since) > formerTime })
		for name, old := range last.secrets {
			if old.value != "" && old.value != next.secrets[name].value {
				next.former = append(next.former, former{name, old.value, now})
			}
		}
		next.former = next.former[max(len(next.former)-maxFormer, 0):]
	}
	v.contents.Store(next)
	return nil
}

// Has tells whether a secret has a value.
func (v *Vault) Has(name string) bool {
	in := v.contents.Load()
	return in != nil && in.secrets[name].value != ""
}

// binding is a secret that a client's policy names.
type binding struct {
	name   string
	header string           // canonical
	format string           // of the value; see Secret.Format
	bound  *policy.Patterns // nil: wherever the secret may go
}

// resolved are a client's secrets as they are with one state of its vault.
type resolved struct {
	of       *contents
	secrets  []secret
	redactor *strings.Replacer // nil: nothing to hide
}

// secret is what becomes of a binding.
type secret struct {
	name    string
	header  string
	value   string           // as it goes out
	bound   *policy.Patterns // where it's needed; nil: everywhere, for nobody knows
	allow   *policy.Patterns // where it may go of that; nil: to all of it
	missing string           // why there is none; "": there is
}

// resolved returns the client's secrets as they are now. The first to ask after a change puts them together.
func (c *Client) resolved() *resolved {
	r := c.secrets.Load()
	if c.vault == nil {
		return r
	}
	if now := c.vault.contents.Load(); r == nil || r.of != now {
		r = c.resolve(now)
		c.secrets.Store(r) // should a later state have been stored meanwhile, the next sees that this isn't it
	}
	return r
}

func (c *Client) resolve(now *contents) *resolved {
	r := &resolved{of: now}
	if now == nil {
		now = &contents{}
	}
	var hidden []string
	for _, want := range c.bindings {
		s := secret{name: want.name, header: want.header, bound: want.bound}
		have, ok := now.secrets[want.name]
		switch {
		case !ok:
			s.missing = "which the operator has removed"
		case !manifest.MatchName(have.plugins, c.plugin):
			s.missing = "which the operator doesn't give to this plugin any more"
		case have.value == "":
			s.missing = "whose value can't be had; the server's log says why"
		}
		if want.bound == nil {
			s.bound = have.allow
		} else {
			s.allow = have.allow
		}
		if s.missing == "" {
			s.value = want.with(have.value)
		}
		if have.value != "" {
			hidden = append(hidden, have.value, want.with(have.value))
		}
		for _, f := range now.former {
			if f.name == want.name {
				hidden = append(hidden, f.value, want.with(f.value))
			}
		}
		r.secrets = append(r.secrets, s)
	}
	r.redactor = redactor(hidden)
	return r
}

// with is the field's value.
func (b *binding) with(value string) string {
	if b.format == "" {
		return value
	}
	return strings.ReplaceAll(b.format, "{secret}", value)
}

// inject sets the secrets that belong to u on a hop's header and returns the names of those fields. It fails if one isn't there, or mayn't go
// where the policy wants it.
func (r *resolved) inject(u *policy.URL, header http.Header) ([]string, *failure.Error) {
	var names []string
	for i := range r.secrets {
		s := &r.secrets[i]
		switch {
		case s.bound != nil && !s.bound.Match(u):
			continue
		case s.missing != "":
			return nil, failure.New(failure.HostDenied, "the fetch needs the secret %s, %s", quote(s.name), s.missing)
		case s.allow != nil && !s.allow.Match(u):
			return nil, failure.New(failure.HostDenied, "the fetch needs the secret %s, which the operator doesn't let be sent there any more", quote(s.name))
		}
		header[s.header] = []string{s.value}
		names = append(names, s.header)
	}
	return names, nil
}
