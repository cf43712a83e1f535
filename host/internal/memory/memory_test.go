package memory

import "testing"

const page = 64 << 10

func TestQuotaHoldsAllMemoriesTogether(t *testing.T) {
	t.Parallel()
	q := NewQuota(10 * page)
	kernel := q.Allocate(0, 1<<32)
	if got := len(kernel.Reallocate(2 * page)); got != 2*page {
		t.Fatalf("first size %d", got)
	}
	guest := q.Allocate(0, 1<<32)
	b := guest.Reallocate(4 * page)
	b[0], b[len(b)-1] = 1, 2
	if &q.Last()[0] != &b[0] {
		t.Error("Last isn't the memory allocated last")
	}
	grown := guest.Reallocate(8 * page)
	if grown == nil || &grown[0] != &b[0] || grown[4*page-1] != 2 || grown[8*page-1] != 0 {
		t.Fatal("growing moved or soiled the memory")
	}
	if _, refused := q.Refused(); refused {
		t.Error("refused too early")
	}
	if guest.Reallocate(9*page) != nil || kernel.Reallocate(3*page) != nil {
		t.Error("growth past the limit was granted")
	}
	if asked, refused := q.Refused(); !refused || asked != 11*page {
		t.Errorf("Refused() = %d, %v", asked, refused)
	}
	if q.Used() != 10*page || q.Free() != 0 {
		t.Errorf("used %d, free %d", q.Used(), q.Free())
	}
	guest.Free()
	if q.Used() != 2*page || q.Peak() != 10*page || q.Last() != nil {
		t.Errorf("after Free: used %d, peak %d, last %v", q.Used(), q.Peak(), q.Last())
	}
	if kernel.Reallocate(10*page) == nil {
		t.Error("freed memory isn't granted again")
	}
	kernel.Free()
	kernel.Free() // wazero may close twice
	guest = q.Allocate(0, 1<<32)
	guest.Reallocate(page)
	q.Release()
	guest.Free()
	if q.Used() != 0 || q.Last() != nil {
		t.Errorf("after Release: used %d", q.Used())
	}
}

func TestFirstSizeIsGranted(t *testing.T) {
	t.Parallel()
	q := NewQuota(page)
	m := q.Allocate(0, 4*page)
	if len(m.Reallocate(2*page)) != 2*page {
		t.Fatal("wazero panics on a refused first size")
	}
	if q.Free() != -page {
		t.Errorf("free %d", q.Free())
	}
	m.Free()
	if len(q.Allocate(0, 0).Reallocate(0)) != 0 {
		t.Error("an empty memory isn't empty")
	}
}

func BenchmarkReserveAndFree(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		m := NewQuota(128<<20).Allocate(0, 1<<32)
		m.Reallocate(4 << 20)[0] = 1
		m.Free()
	}
}
