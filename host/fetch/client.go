package fetch

import (
	"context"
	"fmt"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/sync/semaphore"

	"github.com/sortie-run/sortie/host/fetch/cache"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/fetch/upstream"
	"github.com/sortie-run/sortie/host/manifest"
)

// Client is one policy and its connections. Build it with [Engine.Client].
type Client struct {
	engine *Engine
	policy *policy.Policy
	rules  int
	limits limits
	retry  Retry
	hedge  time.Duration // for requests that don't say, as in Request.Hedge

	plugin       string // whose client it is, for the vault
	vault        *Vault // nil: the secrets are always the same
	bindings     []binding
	secretFields []string                 // names of the secrets' fields
	secrets      atomic.Pointer[resolved] // see Client.resolved
	cache        *cache.Cache             // nil: none
	coalesce     bool
	background   *semaphore.Weighted // revalidations that nobody waits for

	ctx    context.Context // ends with the client, and with it the dialling
	cancel context.CancelFunc

	urls      urls
	origins   *upstream.Origins
	exchanges atomic.Uint64 // numbers given

	mu         sync.Mutex
	closed     bool
	sessions   map[*Session]struct{}
	transports []*transport // by the number of the rule that allows, from 1
}

// limits are a policy's limits in Go's own types.
type limits struct {
	requests, responseBytes, totalBytes, requestBytes int64
	concurrency, redirects                            int

	timeout, connect, write, read, pool, attempt time.Duration
}

// Client compiles a policy. It fails on a rule, pattern or secret that can't be read. Two clients share nothing but the engine's slots.
func (e *Engine) Client(p Policy) (*Client, error) {
	compiled, err := policy.New(policy.Config{Rules: p.Rules, Private: p.Private, HostsAllow: p.HostsAllow, HostsDeny: p.HostsDeny})
	if err != nil {
		return nil, fmt.Errorf("fetch policy: %w", err)
	}
	c := &Client{
		engine: e, policy: compiled, rules: len(p.Rules), limits: compileLimits(p.Limits), retry: compileRetry(p.Retry),
		plugin: p.Plugin, vault: p.Vault, origins: upstream.NewOrigins(), hedge: p.Hedge,
		sessions: make(map[*Session]struct{}), transports: make([]*transport, len(p.Rules)+1),
	}
	if err := c.takeSecrets(p.Secrets); err != nil {
		return nil, fmt.Errorf("fetch policy: %w", err)
	}
	if p.Cache.enabled() {
		c.cache, c.coalesce = cache.New(cache.Config{Bytes: p.Cache.Bytes}), p.Cache.Coalesce
	}
	c.background = semaphore.NewWeighted(maxBackground)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := e.add(c); err != nil {
		c.cancel()
		return nil, err
	}
	return c, nil
}

// Explain tells what the policy says of a fetch, and why.
func (c *Client) Explain(method, url string) policy.Decision { return c.policy.Explain(method, url) }

// Close closes all sessions, waits for them, and closes all connections. It is idempotent. Sessions begun afterwards are closed.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	sessions := c.sessions
	if c.sessions = nil; len(sessions) > 0 {
		c.engine.working.Add(-1)
	}
	c.mu.Unlock()
	for s := range sessions {
		s.Close()
	}
	c.cancel()
	c.engine.forget(c)

	c.mu.Lock()
	transports := c.transports
	c.transports = nil
	c.mu.Unlock()
	for _, t := range transports {
		if t != nil {
			t.close()
		}
	}
	if c.cache != nil {
		c.cache.Close()
	}
}

// transport returns the connections of one rule.
func (c *Client) transport(d policy.Decision) (*transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Number >= len(c.transports) { // none are left after Close
		return nil, errClosed
	}
	t := c.transports[d.Number]
	if t == nil {
		t = newTransport(c, d)
		c.transports[d.Number] = t
	}
	return t, nil
}

func (c *Client) forget(s *Session) {
	c.mu.Lock()
	if _, ok := c.sessions[s]; ok {
		if delete(c.sessions, s); len(c.sessions) == 0 {
			c.engine.working.Add(-1)
		}
	}
	c.mu.Unlock()
}

// takeSecrets compiles a policy's secrets.
func (c *Client) takeSecrets(list []Secret) error {
	static := &resolved{}
	var hidden []string
	for _, s := range list {
		name := textproto.CanonicalMIMEHeaderKey(s.Header)
		if !httpguts.ValidHeaderFieldName(s.Header) || hostOwned(name) {
			return fmt.Errorf("secret %q: %q can't be set as a header", s.Name, s.Header)
		}
		if !httpguts.ValidHeaderFieldValue(s.Value) || !httpguts.ValidHeaderFieldValue(s.Format) {
			return fmt.Errorf("secret %q: its value can't be sent in a header", s.Name)
		}
		allow, err := policy.CompilePatterns(s.Allow)
		if err != nil {
			return fmt.Errorf("secret %q: %w", s.Name, err)
		}
		c.secretFields = append(c.secretFields, name)
		static.secrets, hidden = append(static.secrets, secret{name: s.Name, header: name, value: s.Value, bound: allow}), append(hidden, s.Value)
		b := binding{name: s.Name, header: name, format: s.Format, bound: allow}
		if len(s.Allow) == 0 {
			b.bound = nil
		}
		c.bindings = append(c.bindings, b)
	}
	if c.vault == nil {
		static.redactor = redactor(hidden)
		c.secrets.Store(static)
	}
	return nil
}

// compileLimits fills in the defaults as Policy.Limits says.
func compileLimits(l manifest.FetchLimits) limits {
	def := manifest.Default().Fetch.Limits
	if l == (manifest.FetchLimits{}) {
		l = def
	}
	duration := func(d, otherwise manifest.Duration) time.Duration {
		if d <= 0 {
			d = otherwise
		}
		return time.Duration(d)
	}
	if l.Concurrency <= 0 {
		l.Concurrency = def.Concurrency
	}
	return limits{
		requests: int64(max(l.Requests, 0)), concurrency: l.Concurrency, redirects: max(l.Redirects, 0),
		responseBytes: int64(max(l.ResponseBytes, 0)), totalBytes: int64(max(l.TotalBytes, 0)), requestBytes: int64(max(l.RequestBytes, 0)),
		timeout: duration(l.Timeout, def.Timeout), connect: duration(l.ConnectTimeout, def.ConnectTimeout),
		write: duration(l.WriteTimeout, def.WriteTimeout), read: duration(l.ReadTimeout, def.ReadTimeout),
		pool: duration(l.PoolTimeout, def.PoolTimeout), attempt: max(time.Duration(l.AttemptTimeout), 0),
	}
}

func compileRetry(r manifest.Retry) Retry {
	def := manifest.Default().Fetch.Retry
	if r.Attempts == 0 && r.Backoff == 0 && r.MaxBackoff == 0 {
		r.Attempts, r.Backoff, r.MaxBackoff = def.Attempts, def.Backoff, def.MaxBackoff
	}
	if r.Statuses == nil {
		r.Statuses = def.Statuses
	}
	return Retry{
		Attempts: max(r.Attempts, 1), Backoff: time.Duration(max(r.Backoff, 0)), MaxBackoff: time.Duration(max(r.MaxBackoff, 0)),
		Statuses: r.Statuses,
	}
}
