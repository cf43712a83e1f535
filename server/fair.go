package server

import "container/heap"

// fair keeps things of many owners in one budget of bytes. When it's full the oldest thing of whoever holds most goes, so that a
// busy owner pushes out its own and not everyone else's. A thing costs its bytes, yet at least one part of as many as there may be:
// so the one budget bounds their number too. The caller keeps it from concurrent use.
type fair[T any] struct {
	budget  int64
	least   int64
	used    int64
	owners  map[string]*shelf[T]
	order   byHeld[T]
	dropped func(T) // told of each that goes; nil: nobody is
}

// shelf is what one owner has, the oldest first. It's never empty.
type shelf[T any] struct {
	owner string
	items []item[T]
	held  int64
	at    int // in order
}

type item[T any] struct {
	thing T
	cost  int64
}

// newFair makes one of so many bytes and things.
func newFair[T any](bytes, things int64, dropped func(T)) *fair[T] {
	return &fair[T]{budget: bytes, least: bytes / things, owners: map[string]*shelf[T]{}, dropped: dropped}
}

// put adds a thing, which must not cost more than the budget. It makes room first, so the new thing is never what goes.
func (f *fair[T]) put(owner string, thing T, bytes int64) {
	cost := max(bytes, f.least)
	for len(f.order) > 0 && f.used+cost > f.budget {
		f.pop(f.order[0])
	}
	s := f.owners[owner]
	if s == nil {
		s = &shelf[T]{owner: owner}
		f.owners[owner] = s
		heap.Push(&f.order, s)
	}
	s.items = append(s.items, item[T]{thing, cost})
	f.charge(s, cost)
}

// pop drops the oldest thing of a shelf.
func (f *fair[T]) pop(s *shelf[T]) {
	first := s.items[0]
	s.items[0] = item[T]{} // append leaves the array's beginning behind, but only when it's full
	s.items = s.items[1:]
	f.charge(s, -first.cost)
	if len(s.items) == 0 {
		f.remove(s)
	}
	f.tell(first.thing)
}

// trim drops the oldest of an owner's things until there are no more than so many, of so many bytes.
func (f *fair[T]) trim(owner string, things int, bytes int64) {
	s := f.owners[owner]
	for s != nil && len(s.items) > 0 && (len(s.items) > things || s.held > bytes) {
		f.pop(s)
	}
}

// drop drops everything of an owner.
func (f *fair[T]) drop(owner string) {
	s := f.owners[owner]
	if s == nil {
		return
	}
	f.used -= s.held
	f.remove(s)
	for _, i := range s.items {
		f.tell(i.thing)
	}
}

// of is what an owner has, the oldest first. It's valid until the next change.
func (f *fair[T]) of(owner string) []item[T] {
	if s := f.owners[owner]; s != nil {
		return s.items
	}
	return nil
}

func (f *fair[T]) charge(s *shelf[T], cost int64) {
	s.held += cost
	f.used += cost
	heap.Fix(&f.order, s.at)
}

func (f *fair[T]) remove(s *shelf[T]) {
	heap.Remove(&f.order, s.at)
	delete(f.owners, s.owner)
}

func (f *fair[T]) tell(thing T) {
	if f.dropped != nil {
		f.dropped(thing)
	}
}

// byHeld is a heap of shelves: who holds most comes first.
type byHeld[T any] []*shelf[T]

func (b byHeld[T]) Len() int           { return len(b) }
func (b byHeld[T]) Less(i, j int) bool { return b[i].held > b[j].held }

func (b byHeld[T]) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].at, b[j].at = i, j
}

// Push implements heap.Interface.
func (b *byHeld[T]) Push(x any) {
	s := x.(*shelf[T])
	s.at = len(*b)
	*b = append(*b, s)
}

// Pop implements heap.Interface.
func (b *byHeld[T]) Pop() any {
	last := len(*b) - 1
	s := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return s
}
