package rewrite

import "fmt"

// The bounds keep a deploy's compilation to seconds and its leftovers small. wazero's compiler can't be stopped and is far from
// linear, so what would keep it busy is refused before it starts. Each is justified by what was measured: "Go" is a program of
// 20 MB that uses most of the standard library, "plugins" are this repository's (4.7 MB), "others" the Rust, C, Zig, TinyGo and
// Haskell modules that wazero and Extism are tested with.
const (
	// maxTypes and maxTypeValues, the parameters and results of all types together: wazero keeps each new type for as long as the
	// process runs. Haskell's 1,719 types with 7,727 values are the most seen; Go has 19 with 72.
	maxTypes      = 10_000
	maxTypeValues = 100_000
	// maxFunctions: each takes some hundred bytes of the host, whatever it does. Go has 11,449.
	maxFunctions = 100_000
	// maxImports: a plugin can only import what Sortie has, about 100 functions. 42 is the most seen.
	maxImports = 1_000
	// maxExports: 7 in plugins; tools that export all they have come to thousands.
	maxExports = 10_000
	// maxGlobals: an instance holds each in some 50 bytes outside its memory. 16 is the most seen, modules for dynamic linking
	// have hundreds.
	maxGlobals = 10_000
	// maxMemories: wazero refuses a second one; the host says so in its own words.
	maxMemories = 100
	// maxTables: one in plugins and others; an instance holds each outside its memory.
	maxTables = 100
	// maxData is what Go's linker bounds itself to (cmd/link/internal/wasm, maxNumSegments); its largest modules come to it.
	maxData = 100_000
	// maxElements: one segment in Go and Rust, 65 at most in wazero's tests. An instance holds 24 bytes for each.
	maxElements = 10_000
	// maxElementEntries: Go has 11,416. wazero takes some 50 bytes for each until the module is gone.
	maxElementEntries = 1_000_000
	// maxLocals bounds a function's locals with its parameters, as browsers do, and maxAllLocals the module's: a few bytes declare
	// any number, and wazero writes each out. 2,457 in a function, of C without optimization, and 60,102 in Go are the most seen.
	maxLocals    = 50_000
	maxAllLocals = 1_000_000
	// maxNodes bounds the blocks of a function, and its branches with their targets, so that counting stays cheap; before it is
	// reached, wazero's part is too much nearly always. 6,539 in a function, of Haskell, are the most seen.
	maxNodes = 100_000
	// maxFunctionSteps and maxSteps bound what compiling a function, and all of them, is expected to take. See work.steps.
	// maxTangledSteps bounds those that grow faster than a function does; few bytes can hold many.
	maxFunctionSteps = 750_000_000
	maxSteps         = 30_000_000_000
	maxTangledSteps  = 4_000_000_000
	// maxName bounds the names of functions, in bytes: wazero writes the name of each function on the stack into a trap's text.
	// maxNames bounds the section they are in; Go's has 800 KB.
	maxName  = 256
	maxNames = 4 << 20
)

// MaxTableEntries bounds what all tables may grow to, with the entries of passive element segments: an instance holds both outside
// its memory, EntrySize bytes each. Go has 15,512, fixed.
const (
	MaxTableEntries = 1_000_000
	EntrySize       = 8
)

// work is what a function makes the compiler do, counted without compiling it.
type work struct {
	bytes        int
	instructions int
	weight       int // of the instructions, in steps
	locals       int // with the parameters
	blocks       int // block, loop, if, try_table
	loops        int // of those
	depth        int // of blocks in blocks
	nodes        int // places of the control flow: where blocks begin and end, and branches with each of their targets
	targets      int // of branches
	values       int // that blocks, branches, calls and returns carry
	highest      int // of the operand stack
	domSteps     int // over all nodes, how many others dominate it at most: what the search for loops walks
	pairs        int // over all nodes, how many locals and operands may be live there
	merges       int // over all places with several ways in, ways × (values that may differ between them)²
	chains       int // over all reads of locals, the places with several ways in since it was set at most
}

// steps estimates the compiler's work: in all, the part that grows faster than the function does, and what most of it is for. A step
// is about a nanosecond, on a CPU of 2021. The factors were measured with BenchmarkBombs, on functions of one construct each; the
// terms follow wazero 1.12's passes. See RATIONALE.md, "How is the compiler's work bounded?".
func (w work) steps() (total, tangled int, most string) {
	tangle := [...]term{
		{20 * w.domSteps, "blocks that follow from one another"},
		{2 * (1 + w.loops) * w.merges, "locals that loops and branches merge"},
		{2 * w.chains, "locals that are read many blocks after they are set"},
	}
	largest := -1
	count := func(terms ...term) {
		for _, t := range terms {
			total += t.steps
			if t.steps > largest {
				largest, most = t.steps, t.what
			}
		}
	}
	count(tangle[:]...)
	tangled = total
	count(
		term{w.weight, "instructions"},
		term{2500 * w.nodes, "blocks and branches"},
		term{1000 * w.values, "values that blocks, branches and calls carry"},
		term{1000 * w.pairs, "locals and operands that live across blocks"},
	)
	return total, tangled, most
}

// term is a part of the steps.
type term struct {
	steps int
	what  string
}

// checkFunction refuses a function that is too much work, by itself or with those before it.
func (m *Module) checkFunction(index int, w work) error {
	steps, tangled, most := w.steps()
	m.locals += w.locals
	m.steps += steps
	m.tangled += tangled
	switch {
	case steps > maxFunctionSteps:
		return fmt.Errorf("function %d takes an estimated %d steps to compile, most of them for its %s; the bound is %d",
			index, steps, most, maxFunctionSteps)
	case m.locals > maxAllLocals:
		return fmt.Errorf("the functions up to %d have %d locals; the bound is %d", index, m.locals, maxAllLocals)
	case m.steps > maxSteps:
		return fmt.Errorf("the functions up to %d take an estimated %d steps to compile; the bound is %d", index, m.steps, maxSteps)
	case m.tangled > maxTangledSteps:
		return fmt.Errorf("the functions up to %d take an estimated %d steps to compile for the way their loops, branches and locals "+
			"depend on one another; the bound is %d", index, m.tangled, maxTangledSteps)
	}
	return nil
}

// tooMany is the error for a module that has too many of something.
func tooMany(n uint64, what string, bound int) error {
	return fmt.Errorf("the module has %d %s; the bound is %d", n, what, bound)
}
