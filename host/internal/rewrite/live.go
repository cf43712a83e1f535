package rewrite

// liveness estimates through how much of a function each local is live, as wazero's compiler sees it: it goes by the places where a
// local is used, and not by what is computed. A local counts from its first use to its last, where the first sets it on every way to
// the others, and from the function's start else; where a loop holds a use and not the first, to the end of that loop.
type liveness struct {
	locals []reach
	merges []merge
	widths []int32 // for each node the number of locals
}

// reach is where a local is used.
type reach struct {
	first, last uint32 // nodes
	joins       uint32 // of the function at the first
	depth       uint32 // of the frame that the first is in: while it is open, the local has been set
	frame       uint32 // its id
	loop        int32  // the outermost in that frame that holds a use, as an index of function.loops; or -1
	used        bool
}

// enough is where sums stop, far over any bound, so that they don't overflow.
const enough = 1 << 40

// merge is a place with several ways in.
type merge struct{ node, ways, values uint32 }

func (l *liveness) reset(locals int) {
	if cap(l.locals) < locals {
		l.locals = make([]reach, locals)
	}
	l.locals = l.locals[:locals]
	for i := range l.locals {
		l.locals[i] = reach{loop: -1}
	}
	l.merges = l.merges[:0]
}

func (l *liveness) join(node, ways, values uint32) {
	if ways > 1 {
		l.merges = append(l.merges, merge{node, ways, values})
	}
}

// cost adds up, over all nodes, the locals that may be live there, and what merging them takes.
func (l *liveness) cost(loops []loop, nodes uint32) (pairs, merges int) {
	n := int(nodes) + 2
	if cap(l.widths) < n {
		l.widths = make([]int32, n)
	}
	w := l.widths[:n]
	clear(w)
	for i := range l.locals {
		s := &l.locals[i]
		if !s.used {
			continue
		}
		last := s.last
		if s.loop >= 0 {
			last = max(last, loops[s.loop].end)
		}
		w[s.first]++
		w[last+1]--
	}
	for i := 1; i < n; i++ {
		w[i] += w[i-1]
		pairs += int(w[i-1])
	}
	for _, m := range l.merges {
		width := int(w[m.node]) + int(m.values)
		merges = min(merges+int(m.ways)*width*width, enough)
	}
	return pairs, merges
}
