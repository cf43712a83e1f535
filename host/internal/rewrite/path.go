package rewrite

// path finds where a function's code changes. Checks are at the function's entry, behind each loop's header, and wherever the costliest
// way from the last check has come to a stretch, so that on every way each stretch of code begins with a check that pays for it, or for
// what a loop has of it. Costs are in bytes of code, with more for instructions that take long.
type path struct {
	points []point
	blocks []open
	spent  int  // on the costliest way here from a check
	total  int  // of all code so far
	leads  bool // whether the function begins with a loop, whose check does for the entry: Go's nearly all do
	bulk   bool // whether there is a bulk instruction
}

// point is where a function's code changes.
type point struct {
	at    int // where the instruction begins
	after int // where it ends
	kind  pointKind
	index uint64 // of the function that it names, as it is to be
	cost  int    // that a check takes fuel for
}

type pointKind byte

const (
	pointCall  pointKind = iota // an instruction that names a function: its opcode is one byte
	pointLoop                   // a check behind it
	pointLong                   // a check before it
	pointBulk                   // an instruction that takes as long as its last operand says
	pointTable                  // a call through a table
	pointRefer                  // an instruction that refers to a function
)

// open is a block that is open.
type open struct {
	loop   int // the index of its point; -1: it is no loop
	began  int // its start, as a sum of costs
	end    int // what is spent on the costliest branch to its end
	before int // an if's: what is spent where its else begins
}

const notLoop = -1

// find follows the code to its end.
func (p *path) find(m *Module, r *reader, locals uint64) {
	*p = path{points: p.points[:0], blocks: append(p.blocks[:0], open{loop: notLoop})}
	straight := locals <= smallLeaf // whether there was nothing but plain instructions
	for !r.done() {
		at := r.pos
		op, i := r.opcode()
		if p.spent >= stretch && op != opLoop {
			p.points = append(p.points, point{at: at, after: at, kind: pointLong, cost: p.spent})
			p.spent = 0
		}
		more := extra(op, r.sub)
		switch i.immediate {
		case immBlock, immTryTable:
			p.leads = p.leads || straight && op == opLoop && p.total <= smallLeaf
			straight = false
			p.open(r, at, op, i.immediate)
		case immLabel:
			straight = false
			p.branch(r.u32())
		case immLabels:
			straight = false
			for n := r.u32() + 1; n > 0 && r.err == nil; n-- {
				p.branch(r.u32())
			}
		case immCall:
			straight = false
			index := r.u32()
			more += m.callCost(index)
			p.points = append(p.points, point{at: at, after: r.pos, kind: pointCall, index: m.shifted(index)})
		case immCallIndirect, immCallRef:
			straight = false
			more += smallLeaf // it may have no check
			r.u32()
			if i.immediate == immCallIndirect {
				r.u32()
				p.points = append(p.points, point{at: at, after: r.pos, kind: pointTable})
			}
		case immLocal, immFill:
			r.u32()
		default:
			if op == opRefFunc {
				index := r.u32()
				p.points = append(p.points, point{at: at, after: r.pos, kind: pointRefer, index: m.shifted(index)})
			} else {
				r.skip(i.immediate)
			}
		}
		if op == opMisc && lengthy[r.sub] {
			p.bulk = true
			p.points = append(p.points, point{at: at, after: r.pos, kind: pointBulk})
		}
		p.total += r.pos - at + more
		p.spent += r.pos - at + more
		straight = p.leave(op) && straight
	}
}

// open enters a block. r is behind its opcode.
func (p *path) open(r *reader, at int, op byte, imm immediate) {
	r.blockHead(imm, func(label uint64) {
		if b := p.block(label); b != nil {
			b.end = throwCost // wherever it comes from
		}
	})
	b := open{loop: notLoop, began: p.total}
	switch op {
	case opLoop:
		b.loop = len(p.points)
		p.points = append(p.points, point{at: at, after: r.pos, kind: pointLoop})
		p.spent = 0
	case opIf:
		b.before = p.spent
	}
	p.blocks = append(p.blocks, b)
}

// leave does what the instructions do that end a way. It tells whether code goes straight on. Nothing reaches what follows on an
// unconditional branch, so nothing has been spent there.
func (p *path) leave(op byte) (straight bool) {
	top := &p.blocks[len(p.blocks)-1]
	switch op {
	case opElse:
		top.end = max(top.end, p.spent)
		p.spent, top.before = top.before, 0
	case opEnd:
		if top.loop != notLoop {
			p.points[top.loop].cost = min(p.total-top.began, stretch)
		} else {
			p.spent = max(p.spent, top.end, top.before)
		}
		if len(p.blocks) > 1 {
			p.blocks = p.blocks[:len(p.blocks)-1]
		}
	case opBr, opBrTable, opReturn, opUnreachable, opThrow, opThrowRef, opReturnCall, opReturnCallIndirect, opReturnCallRef:
		p.spent = 0
	default:
		return true
	}
	return false
}

// block is the one that a branch leaves; nil is one that Parse has refused.
func (p *path) block(label uint64) *open {
	if label >= uint64(len(p.blocks)) {
		return nil
	}
	return &p.blocks[len(p.blocks)-1-int(label)]
}

func (p *path) branch(label uint64) {
	if b := p.block(label); b != nil {
		b.end = max(b.end, p.spent)
	}
}

// lengthy are the instructions after 0xfc that take as long as their last operand says.
var lengthy = [256]bool{
	miscMemoryInit: true, miscMemoryCopy: true, miscMemoryFill: true,
	miscTableInit: true, miscTableCopy: true, miscTableFill: true, miscTableGrow: true,
}

// throwCost is what an exception costs: wazero leaves to Go, and looks for who catches it.
const throwCost = 4096

// leaf is what the function costs if it needs no check; see fuel.go.
func (f *function) leaf() uint16 {
	if cost := f.bytes + f.locals + f.extra; !f.calls && f.work.loops == 0 && cost <= smallLeaf {
		return uint16(cost)
	}
	return 0
}

// hostCall is what calling an imported function costs; what it does there is the host's to count.
const hostCall = 512

// callCost is what a call costs besides what its function pays for.
func (m *Module) callCost(index uint64) int {
	if index < uint64(m.importedFunctions) {
		return hostCall
	}
	return int(m.leaves[index-uint64(m.importedFunctions)])
}

// extra is what an instruction costs besides its bytes.
func extra(op, sub byte) int {
	switch op {
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82: // divisions
		return 16
	case opMemoryGrow:
		return 1024
	case opThrow, opThrowRef:
		return throwCost
	case opMisc:
		if lengthy[sub] {
			return 256
		}
	}
	return 0
}

// blockHead passes what follows the opcode of a block, with the branches of its catch clauses.
func (r *reader) blockHead(imm immediate, branch func(label uint64)) {
	if t := r.signed(33); t == -29 || t == -28 {
		r.signed(33)
	}
	if imm != immTryTable {
		return
	}
	r.vector(func(int) {
		if r.byte() < 2 {
			r.u32()
		}
		branch(r.u32())
	})
}
