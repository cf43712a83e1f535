package host_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	m := host.NewMemory(100)
	if !m.Take(60) || m.Take(41) || !m.Take(40) || m.Take(1) || m.Used() != 100 || m.Limit() != 100 {
		t.Errorf("%d of %d are taken", m.Used(), m.Limit())
	}
	m.Charge(7)
	if m.Used() != 107 || m.Take(1) {
		t.Errorf("%d are taken", m.Used())
	}
	m.Release(107)
	if m.Used() != 0 {
		t.Errorf("%d are taken", m.Used())
	}
	defer func() {
		if recover() == nil {
			t.Error("more was released than taken")
		}
	}()
	m.Release(1)
}

// What is only kept is given up for what is needed, in turn and no more than that.
func TestMemoryUnderPressure(t *testing.T) {
	t.Parallel()
	m := host.NewMemory(100)
	kept, asked := [2]int64{40, 40}, [2]int64{}
	var stop [2]func()
	for i := range kept {
		if !m.Take(kept[i]) {
			t.Fatal("there is room")
		}
		stop[i] = m.OnPressure(func(n int64) int64 {
			asked[i]++
			n = min((n+9)/10*10, kept[i]) // in pieces of ten
			kept[i] -= n
			m.Release(n)
			return n
		})
	}
	for _, step := range []struct {
		take, used  int64
		ok          bool
		kept, asked [2]int64
	}{
		{20, 100, true, [2]int64{40, 40}, [2]int64{0, 0}},   // it's there
		{15, 95, true, [2]int64{20, 40}, [2]int64{1, 0}},    // ten would be missing five
		{25, 100, true, [2]int64{20, 20}, [2]int64{1, 1}},   // the other's turn
		{200, 100, false, [2]int64{20, 20}, [2]int64{1, 1}}, // nobody has that
		{35, 95, true, [2]int64{0, 0}, [2]int64{2, 2}},      // both
		{10, 95, false, [2]int64{0, 0}, [2]int64{3, 3}},
	} {
		ok := m.Take(step.take)
		if ok != step.ok || m.Used() != step.used && ok || kept != step.kept || asked != step.asked {
			t.Errorf("%d more: %t, %d used, %v kept, %v asked; want %+v", step.take, ok, m.Used(), kept, asked, step)
		}
	}
	stop[0]()
	stop[0]()
	if m.Take(10) || asked != [2]int64{3, 4} {
		t.Errorf("%v asked, though one isn't there any more", asked)
	}
}

// However many take, keep and give up at once, there is never more than the limit.
func TestMemoryIsNeverExceeded(t *testing.T) {
	t.Parallel()
	const limit, piece = 1000, 30
	m := host.NewMemory(limit)
	var idle atomic.Int64 // pieces that are only kept
	give := func() bool {
		for n := idle.Load(); n > 0; n = idle.Load() {
			if idle.CompareAndSwap(n, n-1) {
				m.Release(piece)
				return true
			}
		}
		return false
	}
	stop := m.OnPressure(func(n int64) (released int64) {
		for released < n && give() {
			released += piece
		}
		return released
	})
	defer stop()
	var group sync.WaitGroup
	var got, none atomic.Int64
	for i := range 8 {
		group.Go(func() {
			for n := range 2000 {
				size := int64(piece)
				if i < 2 {
					size = int64(n % 400) // bodies; the others are guests
				}
				if !m.Take(size) {
					none.Add(1)
					continue
				}
				got.Add(1)
				if used := m.Used(); used > limit || used < 0 {
					t.Errorf("%d are taken", used)
				}
				if i < 2 {
					m.Release(size)
				} else {
					idle.Add(1)
				}
			}
		})
	}
	group.Wait()
	for give() {
	}
	if m.Used() != 0 {
		t.Errorf("%d are left", m.Used())
	}
	if got.Load() < 1000 {
		t.Errorf("%d got some, %d didn't", got.Load(), none.Load())
	}
}

// The runtime has one, of process.memory.
func TestRuntimeMemory(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, fetch.Config{})
	if m := rt.Memory(); m.Limit() != 2<<30 || !m.Take(5) || rt.Stats().Memory < 5 {
		t.Errorf("%d, %+v", m.Limit(), rt.Stats())
	}
	rt.Memory().Release(5)
}
