package store

import (
	"fmt"
	"slices"
	"time"
)

// What events tell of.
const (
	ActionDeploy       = "deploy"
	ActionTraffic      = "traffic"
	ActionRollback     = "rollback"
	ActionRemove       = "remove"
	ActionTokenCreate  = "token.create"
	ActionTokenRevoke  = "token.revoke"
	ActionSecretSet    = "secret.set"
	ActionSecretRemove = "secret.remove"
)

// Event is one change: who made it, and all it did. It holds neither tokens nor secrets, only their names.
type Event struct {
	Seq     int64     `json:"seq"` // from 1, without gaps
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
	Action  string    `json:"action"`
	Plugin  string    `json:"plugin,omitempty"`
	Version int       `json:"version,omitempty"` // of a deploy
	Digest  string    `json:"digest,omitempty"`  // of a deploy
	Created bool      `json:"created,omitempty"` // of a deploy: the version is a new one
	Traffic []Weight  `json:"traffic,omitempty"` // the table after it
	Pruned  []int     `json:"pruned,omitempty"`  // versions that went since they are too many or too old
	Token   string    `json:"token,omitempty"`   // a token's id
	Secret  string    `json:"secret,omitempty"`  // a secret's name
	Role    string    `json:"role,omitempty"`    // of a new token
	Plugins []string  `json:"plugins,omitempty"` // of a new token or a secret: name patterns
	Note    string    `json:"note,omitempty"`
}

// AuditQuery says which events are wanted.
type AuditQuery struct {
	Plugin string // of that plugin; "": all
	After  int64  // the first ones after this number; 0: the last ones
	Limit  int    // at most so many; 0: DefaultAudit
}

// DefaultAudit is how many events a query gets that doesn't say.
const DefaultAudit = 100

// Replayed is a plugin as its events tell it.
type Replayed struct {
	Versions map[int]string // digests by number
	Traffic  []Weight
}

// Replay gives the state that the events lead to, from nothing. It fails if they can't have happened in this order.
func Replay(events []Event) (map[string]Replayed, error) {
	state := map[string]Replayed{}
	for i, e := range events {
		if i > 0 && e.Seq != events[i-1].Seq+1 {
			return nil, fmt.Errorf("event %d follows event %d", e.Seq, events[i-1].Seq)
		}
		if e.Plugin == "" {
			continue
		}
		p, known := state[e.Plugin]
		switch {
		case e.Action == ActionRemove && known:
			delete(state, e.Plugin)
			continue
		case e.Action == ActionDeploy && !known:
			p.Versions = map[int]string{}
		case !known:
			return nil, fmt.Errorf("event %d (%s) is of a plugin that isn't there", e.Seq, e.Action)
		}
		if old, there := p.Versions[e.Version]; e.Created == there && e.Action == ActionDeploy || there && old != e.Digest {
			return nil, fmt.Errorf("event %d deploys version %d, created %v; it was %q", e.Seq, e.Version, e.Created, old)
		}
		if e.Created {
			p.Versions[e.Version] = e.Digest
		}
		for _, n := range e.Pruned {
			delete(p.Versions, n)
		}
		p.Traffic = slices.Clone(e.Traffic)
		for _, w := range p.Traffic {
			if p.Versions[w.Version] == "" {
				return nil, fmt.Errorf("event %d gives version %d traffic, which isn't there", e.Seq, w.Version)
			}
		}
		state[e.Plugin] = p
	}
	return state, nil
}
