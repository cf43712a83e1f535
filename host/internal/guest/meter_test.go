package guest

import (
	"testing"
	"time"
)

// burn computes for d of this thread's CPU time.
func burn(m *Meter, d time.Duration, tick bool) {
	for start := m.Used(); m.Used()-start < d; {
		if tick {
			m.Over()
		}
	}
}

// What is measured is computing, not waiting, and not what host functions take.
func TestMeter(t *testing.T) {
	t.Parallel()
	m := NewMeter(50 * time.Millisecond)
	m.Resume()
	burn(&m, 10*time.Millisecond, true)
	m.Pause()
	before := m.Used()
	time.Sleep(60 * time.Millisecond)
	if m.Used() != before {
		t.Error("waiting counts")
	}
	m.Resume()
	since := m.Host()
	time.Sleep(60 * time.Millisecond)
	m.Guest(since)
	if got := m.Used() - before; got > 10*time.Millisecond {
		t.Errorf("a host function counts: %s", got)
	}
	if m.Over() {
		t.Error("over too early")
	}
	burn(&m, 60*time.Millisecond, true)
	if !m.Over() {
		t.Errorf("not over after %s", m.Used())
	}
	m.Pause()
	m.Pause()
}

// A guest that the machine holds up is not charged for it, even where it is looked at for the first time.
func TestMeterHeldUp(t *testing.T) {
	t.Parallel()
	m := NewMeter(20 * time.Millisecond)
	m.Resume()
	time.Sleep(50 * time.Millisecond) // as if another process had run
	if m.Over() || m.Used() > 5*time.Millisecond {
		t.Errorf("charged with %s", m.Used())
	}
	m.Pause()
}

// A host function that has to wait for a processor gives the guest no CPU time: what the guest computes afterwards counts in full.
func TestMeterHostHeldUp(t *testing.T) {
	t.Parallel()
	m := NewMeter(time.Minute)
	m.Resume()
	defer m.Pause()
	burn(&m, 5*time.Millisecond, true)
	if !m.locked {
		t.Fatal("the thread's clock isn't read yet")
	}
	before := m.Used()
	for range 5 {
		since := m.Host()
		time.Sleep(20 * time.Millisecond)
		m.Guest(since)
	}
	for start := threadTime(); threadTime()-start < 10*time.Millisecond; {
		continue
	}
	if got := m.Used() - before; got < 9*time.Millisecond {
		t.Errorf("10 ms of computing are taken for %s", got)
	}
}
