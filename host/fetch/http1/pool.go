package http1

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a Pool is made of.
type Config struct {
	Idle        int           // connections kept at most, all origins together
	IdleTimeout time.Duration // for how long one is kept
	Head        int64         // bytes of a response's head, with the informational ones before it, at most
}

// Pool keeps connections for the next request to their origin. It has no goroutine.
type Pool struct {
	cfg Config

	mu     sync.Mutex
	idle   []*Conn // the longest idle first. They are few: see Config.Idle
	timer  *time.Timer
	closed bool
}

// NewPool returns a Pool. [Pool.Close] ends it.
func NewPool(cfg Config) *Pool { return &Pool{cfg: cfg} }

// Add makes nc, a new connection to that origin, one of the pool's, and the caller's. Its file descriptor is that of raw, which is nc or what
// it wraps; one that has none can't be kept.
func (p *Pool) Add(origin string, nc, raw net.Conn) *Conn {
	c := &Conn{Conn: nc, pool: p, origin: strings.Clone(origin), cut: func() { nc.Close() }}
	c.reader = bufio.NewReader(reading{c})
	c.peek.of(raw)
	return c
}

// Take returns an idle connection to that origin, the one that was used last, or nil. It was quiet a moment ago: neither closed by the server nor with
// bytes that no request asked for.
func (p *Pool) Take(origin string) *Conn {
	for {
		c := p.take(origin)
		if c == nil || c.peek.quiet() {
			return c
		}
		c.Close()
	}
}

func (p *Pool) take(origin string) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range slices.Backward(p.idle) {
		if c.origin == origin {
			p.idle = slices.Delete(p.idle, i, i+1)
			return c
		}
	}
	return nil
}

// put keeps a connection, and tells whether it does. If there are too many it's the longest idle that has to go.
func (p *Pool) put(c *Conn) bool {
	if p.cfg.Idle <= 0 || !c.peek.able() {
		return false
	}
	c.reused, c.since = true, time.Now()
	var oldest *Conn
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	if len(p.idle) == p.cfg.Idle {
		oldest = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.cfg.IdleTimeout, p.expire)
	}
	p.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
	return true
}

// expire closes what has been idle for too long, and sees when to look again.
func (p *Pool) expire() {
	p.mu.Lock()
	now := time.Now()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.cfg.IdleTimeout {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	if p.timer = nil; len(p.idle) > 0 {
		p.timer = time.AfterFunc(p.idle[0].since.Add(p.cfg.IdleTimeout).Sub(now), p.expire)
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// CloseIdle closes the connections that nobody uses.
func (p *Pool) CloseIdle() { p.drop(false) }

// Close closes the connections that nobody uses, and lets none come back.
func (p *Pool) Close() { p.drop(true) }

func (p *Pool) drop(closing bool) {
	p.mu.Lock()
	p.closed = p.closed || closing
	idle := p.idle
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}
