package upstream

import (
	"sync"
	"time"
)

// RetryBudget bounds retries by what else is sent, so that an upstream that is failing isn't hammered: in a window, at most Ratio × the
// requests + Minimum. The zero value is [DefaultRetryBudget].
type RetryBudget struct {
	Ratio   float64
	Minimum int
	Window  time.Duration // 0: 10 s
	None    bool          // no retries at all
}

// DefaultRetryBudget lets a fifth be retried, and a hundred in 10 s whatever else is sent, so that few callers don't notice it.
func DefaultRetryBudget() RetryBudget {
	return RetryBudget{Ratio: 0.2, Minimum: 100, Window: 10 * time.Second}
}

// slices is into how many parts the window is divided; it moves on by one of them.
const slices = 10

type retries struct {
	budget RetryBudget

	mu    sync.Mutex
	start time.Time // of the current slice
	at    int       // the current slice
	parts [slices]struct{ requests, retries int }
}

func (r *retries) rules() RetryBudget {
	b := r.budget
	if b == (RetryBudget{}) {
		b = DefaultRetryBudget()
	}
	if b.Window <= 0 {
		b.Window = DefaultRetryBudget().Window
	}
	return b
}

// move makes the slice of now the current one.
func (r *retries) move(window time.Duration) {
	now := time.Now()
	slice := max(window/slices, 1)
	if r.start.IsZero() {
		r.start = now
	}
	steps := int64(now.Sub(r.start) / slice)
	if steps <= 0 {
		return
	}
	for i := int64(0); i < min(steps, slices); i++ {
		r.at = (r.at + 1) % slices
		r.parts[r.at].requests, r.parts[r.at].retries = 0, 0
	}
	r.start = r.start.Add(time.Duration(steps) * slice)
}

func (r *retries) request() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(r.rules().Window)
	r.parts[r.at].requests++
}

func (r *retries) take() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.rules()
	if b.None {
		return false
	}
	r.move(b.Window)
	requests, retried := r.sum()
	if float64(retried+1) > b.Ratio*float64(requests)+float64(b.Minimum) {
		return false
	}
	r.parts[r.at].retries++
	return true
}

func (r *retries) sum() (requests, retried int) {
	for _, p := range r.parts {
		requests += p.requests
		retried += p.retries
	}
	return requests, retried
}

// matters tells whether retries were made in the window: forgetting them would allow as many again.
func (r *retries) matters() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(r.rules().Window)
	_, retried := r.sum()
	return retried > 0
}
