package server

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/sortie-run/sortie/host"
)

// changeRates bound how fast those change plugins who aren't admins. What they change is in a log that everybody's changes share.
type changeRates struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

// changers is how many of them are remembered. When there are more all begin anew.
const changers = 10_000

// allow counts a change, or refuses it.
func (c *changeRates) allow(who *caller) error {
	if who.role >= roleAdmin {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.by[who.name]
	if l == nil {
		if c.by == nil || len(c.by) >= changers {
			c.by = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(changeRate, changeBurst)
		c.by[who.name] = l
	}
	r := l.Reserve()
	wait := r.Delay()
	if wait <= 0 {
		return nil
	}
	r.Cancel()
	e := host.NewError(host.CodeRateLimited, "These are too many changes: a token that isn't an admin's may make %d at once, and %d in a second from there on.", changeBurst, changeRate)
	e.RetryAfter = wait
	return e
}
