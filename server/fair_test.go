package server

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// TestFair: whoever holds most loses, the new thing never goes, and the sums are right whatever happens.
func TestFair(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	there := map[int]bool{}
	f := newFair(1000, 100, func(n int) { delete(there, n) })
	for n := range 20_000 {
		owner := fmt.Sprint(random.IntN(1 + random.IntN(30)))
		switch random.IntN(100) {
		case 0:
			f.drop(owner)
		case 1:
			f.trim(owner, random.IntN(20), random.Int64N(300))
		default:
			there[n] = true
			f.put(owner, n, random.Int64N(1+random.Int64N(1000)))
			if items := f.of(owner); items[len(items)-1].thing != n {
				t.Fatalf("%d went at once", n)
			}
		}
		used, count := int64(0), 0
		for owner, s := range f.owners {
			held := int64(0)
			for i, it := range s.items {
				if held += it.cost; !there[it.thing] || it.cost < 10 || i > 0 && s.items[i-1].thing >= it.thing {
					t.Fatalf("%s: %+v", owner, s.items)
				}
			}
			if held != s.held || held > f.order[0].held || len(s.items) == 0 || f.order[s.at] != s {
				t.Fatalf("%s holds %d, said to be %d; the most is %d", owner, held, s.held, f.order[0].held)
			}
			used += held
			count += len(s.items)
		}
		if used != f.used || used > 1000 || count > 100 || count != len(there) || len(f.order) != len(f.owners) {
			t.Fatalf("%d used, said to be %d; %d things, %d known", used, f.used, count, len(there))
		}
	}
}

// TestBusyNeighbour: one plugin that is called all the time pushes out its own reports.
func TestBusyNeighbour(t *testing.T) {
	t.Parallel()
	r := newReports(1<<20, 100)
	quiet, busy := &version{plugin: "quiet"}, &version{plugin: "busy"}
	for n := range 20 {
		r.add(quiet, &host.Report{ID: fmt.Sprint("q", n)})
	}
	for n := range 10_000 {
		r.add(busy, &host.Report{ID: fmt.Sprint("b", n)})
	}
	for n := range 20 {
		if r.find(fmt.Sprint("q", n)) == nil {
			t.Errorf("report %d of the quiet one was pushed out", n)
		}
	}
	if r.find("b9999") == nil || r.find("b9920") == nil || r.find("b9919") != nil || len(r.byID) != 100 {
		t.Errorf("%d are kept", len(r.byID))
	}
}

// hostile makes reports as large and as odd as guests and upstreams can.
func hostile(random *rand.Rand, id string) *host.Report {
	text := func(most int) string { return strings.Repeat("x", random.IntN(1+random.IntN(most))) }
	fields := func() (list []fetch.Field) {
		for range random.IntN(1 + random.IntN(60)) {
			list = append(list, fetch.Field{Name: text(100), Value: text(1000)})
		}
		return list
	}
	r := &host.Report{ID: id, Method: text(100), Path: text(60_000), Detail: text(1000)}
	for range random.IntN(1 + random.IntN(100)) {
		f := fetch.Record{Method: text(64), URL: text(1024), Message: text(400), Rule: text(1024)}
		for range random.IntN(1 + random.IntN(20)) {
			f.Exchanges = append(f.Exchanges, fetch.Exchange{URL: text(1024), RequestHeader: fields(), ResponseHeader: fields()})
		}
		r.Fetches = append(r.Fetches, f)
	}
	for range random.IntN(1 + random.IntN(1000)) {
		r.Logs = append(r.Logs, host.LogLine{Time: time.Now(), Level: "info", Message: text(1000)})
	}
	return r
}

// TestReportsHoldTheirBound fills the store and measures what the heap has grown by: the estimate is honest, and the bound holds.
func TestReportsHoldTheirBound(t *testing.T) { // not parallel: it measures the heap
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		name   string
		report func(id string) *host.Report
	}{
		{"hostile", func(id string) *host.Report { return hostile(random, id) }},
		{"empty", func(id string) *host.Report { return &host.Report{ID: id} }},
		{"one line's method and path", func(id string) *host.Report {
			line := "GET /" + strings.Repeat("x", 60_000) + id
			return &host.Report{ID: id, Method: line[:3], Path: line[4:6]}
		}},
		{"too large", func(id string) *host.Report {
			return &host.Report{ID: id, Fetches: make([]fetch.Record, reportMost/int(sizeOfRecord)+1)}
		}},
		{"too large, and not by its fetches", func(id string) *host.Report { return &host.Report{ID: id, Detail: strings.Repeat("x", reportMost)} }},
	} {
		const budget = 32 << 20
		before := heap()
		r := newReports(budget, 2000)
		rounds := 3000
		if test.name == "hostile" || strings.HasPrefix(test.name, "too large") {
			rounds = 300 // these take their time
		}
		for n := range rounds {
			r.add(&version{plugin: fmt.Sprint("p", n%7)}, test.report(fmt.Sprint(n)))
			if r.kept.used > budget || len(r.byID) > 2000 {
				t.Fatalf("%s: %d bytes, %d reports", test.name, r.kept.used, len(r.byID))
			}
		}
		grown := heap() - before
		t.Logf("%s: %d reports, %d KiB by estimate, %d KiB on the heap", test.name, len(r.byID), r.kept.used>>10, grown>>10)
		if grown > budget*5/4 {
			t.Errorf("%s: the heap grew by %d bytes", test.name, grown)
		}
		if len(r.byID) == 0 && test.name != "too large, and not by its fetches" {
			t.Errorf("%s: nothing is kept", test.name)
		}
		runtime.KeepAlive(r)
	}
}

// TestReportsAtOnce is for the race detector.
func TestReportsAtOnce(t *testing.T) {
	t.Parallel()
	r := newReports(1<<20, 50)
	var all sync.WaitGroup
	for p := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(p), 0))
			v := &version{plugin: fmt.Sprint(p % 3)}
			for n := range 300 {
				id := fmt.Sprint(p, n)
				r.add(v, &host.Report{ID: id, Logs: make([]host.LogLine, random.IntN(100))})
				if got := r.find(id); got != nil && got.ID != id {
					t.Errorf("%s is %s", id, got.ID)
				}
				if n%100 == 99 {
					r.forget(v.plugin)
				}
			}
		})
	}
	all.Wait()
	if len(r.byID) > 50 {
		t.Errorf("%d are kept", len(r.byID))
	}
}

// BenchmarkKeep is what an invocation with ten fetches pays for its report, when the store is full.
func BenchmarkKeep(b *testing.B) {
	made := func() *host.Report {
		r := &host.Report{ID: host.NewID(), Method: "GET", Path: "/"}
		for range 10 {
			x := fetch.Exchange{Method: "GET", URL: "https://api.example.com/v1/things"}
			for range 15 {
				x.ResponseHeader = append(x.ResponseHeader, fetch.Field{Name: "x-some-header", Value: "a value as they come"})
			}
			x.RequestHeader = x.ResponseHeader[:4:4]
			r.Fetches = append(r.Fetches, fetch.Record{Method: "GET", URL: x.URL, Exchanges: []fetch.Exchange{x}})
		}
		return r
	}
	r := newReports(reportBytes, reportCount)
	v := &version{plugin: "a"}
	list := make([]*host.Report, 2*reportCount)
	for i := range list {
		list[i] = made()
		r.add(v, list[i])
	}
	b.Logf("%d bytes each", reportSize(list[0]))
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		r.add(v, list[n%reportCount])
	}
}
