package fetch

import (
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Mode says when a group is decided. What is unfinished then is cancelled.
type Mode uint8

// The modes of a group.
const (
	All        Mode = iota // the first rejection decides
	AllSettled             // nothing does: all run to their end
	Any                    // the first fulfilment decides
	Race                   // the first that settles decides
	Quorum                 // Count fulfilments decide, or so many rejections that there can't be as many
)

var modeNames = [...]string{All: "all", AllSettled: "all_settled", Any: "any", Race: "race", Quorum: "quorum"}

// String gives the mode's name.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "unknown"
}

// ParseMode reads a mode's name; the empty one is all. The error is invalid_request.
func ParseMode(name string) (Mode, error) {
	if name == "" {
		return All, nil
	}
	for mode, known := range modeNames {
		if name == known {
			return Mode(mode), nil
		}
	}
	return 0, failure.New(failure.InvalidRequest, "unknown mode %s; there are all, all_settled, any, race and quorum", quote(name))
}

// Group is several fetches that belong together.
type Group struct {
	Mode  Mode
	Count int // with Quorum: how many fulfilments are wanted, 1 to len(Requests)

	// Concurrency is how many members run at once. A member that is held back by it is pending: its own times haven't begun.
	// 0: only the policy's concurrency holds back.
	Concurrency int
	Timeout     time.Duration // what is unfinished after it is rejected with timeout; 0: none
	Requests    []*Request
}

// Check tells whether the group can be run at all: that there is such a mode, and that a quorum is possible. The error is
// an invalid_request.
func (g *Group) Check() error {
	switch {
	case int(g.Mode) >= len(modeNames):
		return failure.New(failure.InvalidRequest, "mode %d is none", g.Mode)
	case g.Mode == Quorum && (g.Count < 1 || g.Count > len(g.Requests)):
		return failure.New(failure.InvalidRequest, "count is %d; of %d requests a quorum is 1 to %d", g.Count, len(g.Requests), len(g.Requests))
	case g.Concurrency < 0 || g.Timeout < 0:
		return failure.New(failure.InvalidRequest, "concurrency and timeout can't be negative")
	}
	return nil
}

// decided tells whether nothing that is still unfinished can matter.
func (g *Group) decided(fulfilled, failed int) bool {
	switch g.Mode {
	case All:
		return failed > 0
	case Any:
		return fulfilled > 0
	case Race:
		return fulfilled+failed > 0
	case Quorum:
		return fulfilled >= g.Count || failed > len(g.Requests)-g.Count
	}
	return false
}
