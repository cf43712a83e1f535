package host

import (
	"log/slog"
	"testing"
)

// A guest for which there is no memory is refused, and counted.
func TestGuestWithoutMemory(t *testing.T) {
	t.Parallel()
	r := &Runtime{memory: NewMemory(100), gate: newGate(1, 1, slog.New(slog.DiscardHandler))}
	if err := r.claim(80); err != nil {
		t.Fatal(err)
	}
	wantOverloaded(t, r.claim(30))
	if s := r.Stats(); s.Refused != (Refused{Memory: 1}) || s.Memory != 80 {
		t.Errorf("%+v", s)
	}
	r.memory.Release(80)
	if err := r.claim(30); err != nil {
		t.Error(err)
	}
}
