package rewrite

import (
	"errors"
	"fmt"
	"math"
)

// code walks all functions. visit is called with each one's index and what it counted; its error ends the walk.
func (m *Module) code(r *reader, visit func(index int, w work) error) {
	n := r.u32()
	if r.err == nil && n != uint64(len(m.functions)-m.importedFunctions) {
		r.fail(fmt.Errorf("the module has %d functions, but code for %d", len(m.functions)-m.importedFunctions, n))
	}
	f := function{m: m}
	for i := m.importedFunctions; i < len(m.functions) && r.err == nil; i++ {
		body := r.bytes(r.u32())
		if r.err != nil {
			return
		}
		if err := f.walk(body, m.functions[i]); err != nil {
			r.fail(fmt.Errorf("function %d: %w", i, err))
			return
		}
		m.leaves = append(m.leaves, f.leaf())
		if err := visit(i, f.work); err != nil {
			r.fail(err)
		}
	}
}

// function is the function being walked. Its slices are used again for the next.
type function struct {
	work
	r       reader
	m       *Module
	results uint32
	frames  []frame
	opened  uint32   // frames so far
	loops   []loop   // all of the function's
	inside  []uint32 // the open ones, as indices of loops
	live    liveness
	node    uint32 // places of the control flow so far: where blocks begin and end, and branches
	joins   uint32 // of those, places with several ways in
	doms    uint32 // how many blocks dominate this place, at most
	height  int    // of the operand stack
	dead    bool   // whether nothing reaches this place; wazero compiles nothing there
	calls   bool
	extra   int // what instructions cost besides their bytes when they are executed
}

// frame is an open block.
type frame struct {
	id      uint32 // no other frame of the function has it
	branch  uint32 // how many values a branch to it carries
	params  uint32
	values  uint32 // that it leaves
	edges   uint32 // to its end
	nearest uint32 // the least doms of these
	doms    uint32 // at its start
	base    int    // of its operand stack
	loop    int32  // the index of its loop, or -1
	then    bool   // whether it is an if without else so far
	dead    bool   // whether nothing reached its start
}

// loop is a loop of the function, open or not.
type loop struct {
	depth      uint32 // of its frame
	start, end uint32 // nodes
	edges      uint32 // to its start
	params     uint32
}

// walk decodes one function's body.
func (f *function) walk(body []byte, typeIndex uint32) error {
	*f = function{
		work: work{bytes: len(body)}, r: reader{data: body}, m: f.m,
		frames: f.frames[:0], loops: f.loops[:0], inside: f.inside[:0], live: f.live,
	}
	s := f.signature(uint64(typeIndex))
	f.locals, f.results = int(s.params), s.results
	f.r.vector(func(int) {
		f.locals += int(f.r.u32())
		f.r.valueType()
	})
	if f.r.err == nil && f.locals > maxLocals {
		return fmt.Errorf("%d locals; the bound is %d", f.locals, maxLocals)
	}
	f.live.reset(f.locals)
	f.push(signature{results: s.results}, s.results)
	for f.r.err == nil && len(f.frames) > 0 {
		f.instruction()
		if max(f.blocks, f.nodes) > maxNodes {
			return fmt.Errorf("%d blocks and branches; the bound is %d", max(f.blocks, f.nodes), maxNodes)
		}
	}
	if f.r.err == nil && !f.r.done() {
		return fmt.Errorf("%d bytes after its end", len(body)-f.r.pos)
	}
	if f.r.err == nil {
		pairs, merges := f.live.cost(f.loops, f.node)
		f.pairs = min(f.pairs+pairs, enough)
		f.merges = merges
	}
	return f.r.err
}

func (f *function) instruction() {
	op, i := f.r.opcode()
	f.instructions++
	if op == opTableSet || op == opMisc || op == opTableGet || op == opReturnCallIndirect {
		f.m.state(op, f.r.sub)
	}
	f.extra += extra(op, f.r.sub)
	if !f.dead {
		f.weight += int(i.weight)
		f.height = max(f.height+int(i.effect), f.frames[len(f.frames)-1].base)
		f.highest = max(f.highest, f.height)
	}
	switch i.immediate {
	case immNone:
		f.plain(op)
	case immLocal:
		f.access(f.r.u32(), op)
	case immBlock, immTryTable:
		f.open(op, i.immediate)
	case immLabel:
		f.branch(f.r.u32())
		f.dead = f.dead || op == opBr
		f.doms++
		f.at()
	case immLabels:
		n := f.r.u32()
		for i := uint64(0); i <= n && f.r.err == nil; i++ { // the last is the default
			f.branch(f.r.u32())
			f.weight += 10 * usual // each target gets a block of its own
		}
		f.dead = true
	case immCall:
		f.calls = true
		f.call(f.callee(f.r.u32()), op)
	case immCallRef:
		f.calls = true
		f.call(f.signature(f.r.u32()), op)
	case immCallIndirect:
		f.calls = true
		f.call(f.signature(f.r.u32()), op)
		f.r.u32()
	case immFill: // wazero makes a loop of it
		f.r.u32()
		f.doms += 3
		f.at()
		f.join(f.node, 2, 0)
		f.at()
	case immIndex:
		f.names(op, f.r.u32())
	default:
		f.r.skip(i.immediate)
	}
}

// plain does what an instruction without an immediate needs.
func (f *function) plain(op byte) {
	switch op {
	case opEnd:
		f.end()
	case opElse:
		f.otherwise()
	case opReturn:
		f.values += int(f.results)
		f.dead = true
	case opUnreachable, opThrowRef:
		f.dead = true
	}
}

// at notes a place of the control flow.
func (f *function) at() {
	if f.dead {
		return
	}
	f.node++
	f.nodes++
	f.domSteps += int(f.doms)
	f.pairs = min(f.pairs+f.height, enough)
}

func (f *function) join(node, edges, values uint32) {
	if edges > 1 {
		f.joins++
		f.live.join(node, edges, values)
	}
}

func (f *function) push(s signature, branch uint32) {
	f.opened++
	f.frames = append(f.frames, frame{
		id: f.opened, branch: branch, params: s.params, values: s.results, nearest: math.MaxUint32, doms: f.doms,
		base: max(f.height-int(s.params), 0), loop: -1, dead: f.dead,
	})
}

// open enters a block.
func (f *function) open(op byte, imm immediate) {
	s := f.blockType()
	if imm == immTryTable {
		f.r.vector(func(int) { f.catch() })
	}
	f.blocks++
	f.values += int(s.params) + int(s.results)
	if op != opLoop {
		f.push(s, s.results)
		if op == opIf {
			f.frames[len(f.frames)-1].then = true
			f.doms++
		}
		f.at()
	} else {
		f.push(s, s.params)
		f.doms++
		f.at()
		f.joins++
		f.work.loops++
		f.frames[len(f.frames)-1].loop = int32(len(f.loops))
		f.inside = append(f.inside, uint32(len(f.loops)))
		f.loops = append(f.loops, loop{depth: uint32(len(f.frames)) - 1, start: f.node, params: s.params, edges: 1})
	}
	f.depth = max(f.depth, len(f.frames)-1)
}

// edge notes a way to the end of a frame.
func (f *function) edge(to *frame, doms uint32) {
	to.edges++
	to.nearest = min(to.nearest, doms)
	f.domSteps += int(doms)
}

// otherwise goes from an if's first half to its second.
func (f *function) otherwise() {
	top := &f.frames[len(f.frames)-1]
	if !top.then {
		f.r.fail(errors.New("an else without its if"))
		return
	}
	if !f.dead {
		f.edge(top, f.doms)
	}
	f.opened++
	top.id = f.opened // what the first half sets isn't set here
	top.then = false
	f.dead = top.dead
	f.doms = top.doms + 1
	f.height = top.base + int(top.params)
	f.at()
}

func (f *function) end() {
	top := &f.frames[len(f.frames)-1]
	if top.loop >= 0 {
		l := &f.loops[top.loop]
		f.at()
		l.end = f.node
		f.inside = f.inside[:len(f.inside)-1]
		f.live.join(l.start, l.edges, l.params)
	} else {
		if !f.dead {
			f.edge(top, f.doms)
		}
		if top.then && !top.dead {
			f.edge(top, top.doms+1)
		}
		if f.dead = top.edges == 0; !f.dead {
			f.doms = top.nearest + 1
		}
	}
	f.height = top.base + int(top.values)
	f.at()
	if top.loop < 0 {
		f.join(f.node, top.edges, top.branch)
	}
	f.frames = f.frames[:len(f.frames)-1]
}

// blockType reads a block's type (section 5.4.1): none (-64), one value, or a type's index.
func (f *function) blockType() signature {
	switch t := f.r.signed(33); {
	case t >= 0:
		return f.signature(uint64(t))
	case t == -64:
		return signature{}
	case t == -29 || t == -28: // typed references, with a heap type
		f.r.signed(33)
	}
	return signature{results: 1}
}

// catch reads a clause of try_table.
func (f *function) catch() {
	kind := f.r.byte()
	if kind > 3 {
		f.r.fail(fmt.Errorf("a catch of the unknown kind %d", kind))
	}
	if kind < 2 {
		f.r.u32()
	}
	f.branch(f.r.u32())
}

func (f *function) branch(depth uint64) {
	if f.r.err == nil && depth >= uint64(len(f.frames)) {
		f.r.fail(fmt.Errorf("a branch out of %d blocks, where %d are open", depth, len(f.frames)))
	}
	if f.r.err != nil || f.dead {
		return
	}
	to := &f.frames[len(f.frames)-1-int(depth)]
	if to.loop >= 0 {
		f.loops[to.loop].edges++
		f.domSteps += int(f.doms)
	} else {
		f.edge(to, f.doms)
	}
	f.nodes++
	f.targets++
	f.values += int(to.branch)
}

func (f *function) call(s signature, op byte) {
	if f.dead {
		return
	}
	f.values += int(s.params) + int(s.results)
	f.height = max(f.height-int(s.params), f.frames[len(f.frames)-1].base) + int(s.results)
	f.highest = max(f.highest, f.height)
	f.dead = op == opReturnCall || op == opReturnCallIndirect || op == opReturnCallRef
}

func (f *function) callee(index uint64) signature {
	if index >= uint64(len(f.m.functions)) {
		f.r.fail(fmt.Errorf("a call of function %d, where there are %d", index, len(f.m.functions)))
		return signature{}
	}
	return f.signature(uint64(f.m.functions[index]))
}

func (f *function) signature(index uint64) signature {
	if index >= uint64(len(f.m.types)) {
		f.r.fail(fmt.Errorf("a use of type %d, where there are %d", index, len(f.m.types)))
		return signature{}
	}
	return f.m.types[index]
}

// access notes that a local is read or written.
func (f *function) access(local uint64, op byte) {
	if local >= uint64(len(f.live.locals)) {
		f.r.fail(fmt.Errorf("a use of local %d, where there are %d", local, len(f.live.locals)))
		return
	}
	if f.dead {
		return
	}
	l := &f.live.locals[local]
	switch {
	case !l.used && op != opLocalGet:
		top := len(f.frames) - 1
		*l = reach{used: true, first: f.node, joins: f.joins, depth: uint32(top), frame: f.frames[top].id, loop: -1}
	case !l.used || int(l.depth) >= len(f.frames) || f.frames[l.depth].id != l.frame:
		*l = reach{used: true, frame: f.frames[0].id, loop: l.loop}
	}
	l.last = f.node
	if outer := f.outermost(l.depth); outer >= 0 {
		l.loop = outer
	}
	if op == opLocalGet {
		f.chains += int(f.joins - l.joins)
	}
}

// outermost returns the outermost open loop within the frame at that depth, or -1.
func (f *function) outermost(depth uint32) int32 {
	low, high := 0, len(f.inside)
	for low < high {
		if mid := (low + high) / 2; f.loops[f.inside[mid]].depth <= depth {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == len(f.inside) {
		return -1
	}
	return int32(f.inside[low])
}
