package rewrite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// spent is the code that a guest exits with whose time is over.
const spent = 77

// run instantiates a module with full's options and calls its export f. Its fuel's function ends it at the last of so many ticks.
// It returns how many there were.
func run(t *testing.T, wasm []byte, interval, last int) (ticks int, err error) {
	t.Helper()
	m, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	o := full
	o.TableEntries, o.Fuel.Interval = MaxTableEntries, interval
	out := m.Rewrite(o)
	if out.Unfueled != "" {
		t.Fatal(out.Unfueled)
	}
	ctx := context.Background()
	rt := compiler(ctx)
	defer func() { _ = rt.Close(ctx) }()
	_, err = rt.NewHostModuleBuilder(o.Fuel.Module).NewFunctionBuilder().WithFunc(func() {
		if ticks++; ticks >= last {
			panic(sys.NewExitError(spent))
		}
	}).Export(o.Fuel.Name).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := rt.InstantiateWithConfig(ctx, out.Wasm, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	if err := apply(ctx, mod, out); err != nil {
		return ticks, err
	}
	_, err = mod.ExportedFunction("f").Call(ctx)
	return ticks, err
}

// endless builds a module whose function f, without parameters, results or locals, runs for ever. Functions 0 and 1 are in a table of 1,000 entries
// and may be named by ref.func.
func endless(f, g *body, sections ...[]byte) []byte {
	functions := append([]byte{10, 2}, appendName(appendName(nil, f.Bytes()), g.Bytes())...)
	all := [][]byte{
		types, {3, 2, 0, 0}, {4, 1, 0x70, 0, 0xe8, 7}, {5, 1, 0, 16}, {13, 1, 0, 0}, {7, 1, 1, 'f', 0, 0},
		{9, 2, 0, 0x41, 0, 0x0b, 2, 0, 1, 1, 0, 1, 0}, {12, 1}, functions, {11, 1, 1, 3, 'a', 'b', 'c'},
	}
	return module(append(all, sections...)...)
}

func TestEndless(t *testing.T) {
	t.Parallel()
	loop := func(write func(b *body)) *body {
		b := (&body{}).op(0, 0x03, 0x40)
		write(b)
		return b.op(0x0c, 0).end().end()
	}
	back := (&body{}).op(0, 0x10, 0).end()                                        // calls f
	big := func(b *body) { b.op(0x41, 0).op(0x41, 0).op(0x41, 0x80, 0x80, 0x3c) } // 0, 0, 983,040
	for name, tc := range map[string]struct{ f, g *body }{
		"br":                 {loop(func(*body) {}), back},
		"br_if":              {(&body{}).op(0, 0x03, 0x40, 0x41, 1, 0x0d, 0).end().end(), back},
		"br_table":           {(&body{}).op(0, 0x03, 0x40, 0x41, 5, 0x0e, 1, 0, 0).end().end(), back},
		"br out of blocks":   {loop(func(b *body) { b.op(0x02, 0x40, 0x02, 0x40, 0x0c, 2).end().end() }), back},
		"br in an if":        {loop(func(b *body) { b.op(0x41, 1, 0x04, 0x40, 0x0c, 1, 0x05, 0x0c, 1).end() }), back},
		"br_on_null":         {(&body{}).op(0, 0x03, 0x40, 0xd0, 0x70, 0xd5, 0, 0x1a).end().end(), back},
		"inner loop":         {loop(func(b *body) { b.op(0x03, 0x40, 0x0c, 0).end() }), back},
		"outer loop":         {loop(func(b *body) { b.op(0x03, 0x40, 0x0c, 1).end() }), back},
		"with operands":      {(&body{}).op(0, 0x41, 7, 0x03, 0x40, 0x0c, 0).end().op(0x1a).end(), back},
		"call":               {(&body{}).op(0, 0x10, 0).end(), back},
		"mutual calls":       {(&body{}).op(0, 0x10, 1).end(), back},
		"call_indirect":      {(&body{}).op(0, 0x41, 0, 0x11, 0, 0).end(), back},
		"call_ref":           {(&body{}).op(0, 0xd2, 0, 0x14, 0).end(), back},
		"return_call":        {(&body{}).op(0, 0x12, 0).end(), back},
		"mutual tail calls":  {(&body{}).op(0, 0x12, 1).end(), (&body{}).op(0, 0x12, 0).end()},
		"tail, indirect":     {(&body{}).op(0, 0x41, 1, 0x13, 0, 0).end(), (&body{}).op(0, 0x41, 0, 0x13, 0, 0).end()},
		"tail, by reference": {(&body{}).op(0, 0xd2, 0, 0x15, 0).end(), back},
		"memory.fill":        {loop(func(b *body) { big(b); b.op(0xfc, 11, 0) }), back},
		"memory.copy":        {loop(func(b *body) { big(b); b.op(0xfc, 10, 0, 0) }), back},
		"memory.init":        {loop(func(b *body) { b.op(0x41, 0, 0x41, 0, 0x41, 3, 0xfc, 8, 0, 0) }), back},
		"memory.grow":        {loop(func(b *body) { b.op(0x41, 0, 0x40, 0, 0x1a) }), back},
		"table.fill":         {loop(func(b *body) { b.op(0x41, 0, 0xd0, 0x70, 0x41, 0xe8, 7, 0xfc, 17, 0) }), back},
		"table.grow":         {loop(func(b *body) { b.op(0xd0, 0x70, 0x41, 0, 0xfc, 15, 0, 0x1a) }), back},
		"a catch to a loop":  {(&body{}).op(0, 0x03, 0x40, 0x1f, 0x40, 1, 2, 0, 0x08, 0).end().end().end(), back},
		"a catch in a loop":  {loop(func(b *body) { b.op(0x02, 0x40, 0x1f, 0x40, 1, 0, 0, 0, 0x08, 0).end().end() }), back},
		"a catch of a call":  {loop(func(b *body) { b.op(0x02, 0x40, 0x1f, 0x40, 1, 2, 0, 0x10, 1).end().end() }), (&body{}).op(0, 0x08, 0).end()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ticks, err := run(t, endless(tc.f, tc.g), 1000, 3)
			var exit *sys.ExitError
			if ticks != 3 || !errors.As(err, &exit) || exit.ExitCode() != spent {
				t.Errorf("%d ticks, %v", ticks, err)
			}
		})
	}
	t.Run("recursion without a tick", func(t *testing.T) {
		t.Parallel()
		if _, err := run(t, endless((&body{}).op(0, 0x10, 0).end(), back), 1<<40, 1); err == nil || !strings.Contains(err.Error(), "stack overflow") {
			t.Error(err)
		}
	})
	t.Run("start", func(t *testing.T) {
		t.Parallel()
		f := (&body{}).op(0).end()
		code := append([]byte{10, 2}, appendName(appendName(nil, f.Bytes()), loop(func(*body) {}).Bytes())...)
		wasm := module(types, []byte{3, 2, 0, 0}, []byte{7, 1, 1, 'f', 0, 0}, []byte{8, 1}, code)
		if ticks, err := run(t, wasm, 1000, 3); ticks != 3 || err == nil {
			t.Errorf("%d ticks, %v", ticks, err)
		}
	})
}

// TestStraightCode holds that code without loops is interrupted too, where it takes long.
func TestStraightCode(t *testing.T) {
	t.Parallel()
	back := (&body{}).op(0).end()
	for name, tc := range map[string]struct {
		write         func(b *body)
		interval, min int
	}{
		"memory.fill": {func(b *body) { b.op(0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 0x3c, 0xfc, 11, 0) }, 20_000, 300},
		"memory.copy": {func(b *body) { b.op(0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 0x3c, 0xfc, 10, 0, 0) }, 20_000, 300},
		"table.grow":  {func(b *body) { b.op(0xd0, 0x70, 0x41, 0x80, 0x28, 0xfc, 15, 0, 0x1a) }, 1000, 40},
		"memory.grow": {func(b *body) { b.op(0x41, 0, 0x40, 0, 0x1a) }, 1000, 10},
		"divisions":   {func(b *body) { b.op(0x41, 1, 0x41, 1, 0x6d, 0x1a) }, 100, 3},
		"nothing":     {func(b *body) { b.op(0x01) }, 10, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := (&body{}).op(0)
			b.times(1000, func(int) { tc.write(b) }).end()
			ticks, err := run(t, endless(b, back), tc.interval, 1<<30)
			if err != nil || ticks < tc.min {
				t.Errorf("%d ticks, want %d; %v", ticks, tc.min, err)
			}
		})
	}
}

// TestFuelIsOutOfReach has a guest name what only the rewrite adds: the counter, and the functions behind its own.
func TestFuelIsOutOfReach(t *testing.T) {
	t.Parallel()
	f := func(code ...byte) []byte {
		return append([]byte{10, 1}, appendName(nil, append(append([]byte{0}, code...), 0x0b))...)
	}
	one := []byte{3, 1, 0}
	for name, wasm := range map[string][]byte{
		"global.set":        module(types, one, f(0x42, 0xff, 0, 0x24, 0)),
		"global.get":        module(types, one, f(0x23, 0, 0x1a)),
		"global.set, dead":  module(types, one, f(0x00, 0x42, 0xff, 0, 0x24, 0)),
		"behind its own":    module(types, one, []byte{6, 1, 0x7e, 1, 0x42, 0, 0x0b}, f(0x42, 0xff, 0, 0x24, 1)),
		"call":              module(types, one, f(0x10, 1)),
		"return_call":       module(types, one, f(0x12, 1)),
		"ref.func":          module(types, one, f(0xd2, 1, 0x1a)),
		"exported global":   module(types, one, []byte{7, 1, 1, 'g', 3, 0}, f()),
		"exported function": module(types, one, []byte{7, 1, 1, 'g', 0, 1}, f()),
		"element":           module(types, one, []byte{9, 1, 1, 0, 1, 1}, f()),
		"element, ref.func": module(types, one, []byte{9, 1, 5, 0x70, 1, 0xd2, 1, 0x0b}, f()),
		"global of another": module(types, one, []byte{6, 1, 0x7e, 0, 0x23, 1, 0x0b}, f()),
		"global's ref.func": module(types, one, []byte{6, 1, 0x70, 0, 0xd2, 1, 0x0b}, f()),
		"start":             module(types, one, []byte{8, 1}, f()),
		"function's type":   module(types, []byte{3, 1, 1}, f()),
		"block's type":      module(types, one, f(0x02, 1, 0x0b)),
		"import's type":     module(types, append(append([]byte{2, 1}, "\x01m\x01n"...), 0, 1), one, f()),
		"tag's type":        module(types, one, []byte{13, 1, 0, 1}, f()),
	} {
		if compiles(context.Background(), wasm) {
			t.Errorf("%s: wazero takes the module as it is", name)
		}
		m, err := Parse(wasm)
		if err != nil {
			continue
		}
		o := full
		if compiles(context.Background(), m.Rewrite(o).Wasm) {
			t.Errorf("%s: the rewrite made the module valid", name)
		}
	}
}

// TestFuelIsFair holds that a guest pays about as much for a unit of work, whatever the shape of the code.
func TestFuelIsFair(t *testing.T) {
	t.Parallel()
	// A loop of 10,000 rounds whose body has 64 KB behind a branch that is always taken: an interpreter.
	b := (&body{}).op(1, 1, 0x7f, 0x41, 0x90, 0xce, 0).set(0).op(0x03, 0x40, 0x02, 0x40, 0x41, 1, 0x0d, 0)
	b.times(1<<14, func(int) { b.op(0x41, 0, 0x1a, 0x01) }).end()
	b.get(0).op(0x41, 1, 0x6b, 0x22, 0, 0x0d, 0).end().end()
	ticks, err := run(t, endless(b, (&body{}).op(0).end()), 1000, 1<<30)
	if err != nil || ticks < 10 || ticks > 200 {
		t.Errorf("%d ticks of 1,000 units for 10,000 rounds, %v", ticks, err)
	}
}

// TestTrapNamesWithFuel checks that a trap still names its functions once their indices have moved.
func TestTrapNamesWithFuel(t *testing.T) {
	t.Parallel()
	wasm := module(types, []byte{3, 3, 0, 0, 0}, []byte{7, 1, 1, 'f', 0, 0},
		[]byte{10, 3, 4, 0, 0x10, 1, 0x0b, 4, 0, 0x10, 2, 0x0b, 3, 0, 0x00, 0x0b},
		names("\x01\x03"+named(0, "outer")+named(1, "middle")+named(2, "inner")))
	_, err := run(t, wasm, 1000, 1)
	text := fmt.Sprint(err)
	at := 0
	for _, want := range []string{"unreachable", ".inner(", ".middle(", ".outer("} {
		next := strings.Index(text[at:], want)
		if next < 0 {
			t.Fatalf("no %s in its place in %q", want, text)
		}
		at += next
	}
}

// TestUnfueled holds that a module which is just within the bounds is rewritten without fuel, and not refused.
func TestUnfueled(t *testing.T) {
	t.Parallel()
	for _, x := range bombs {
		if x.name != "loop" {
			continue
		}
		wasm := x.module(x.most(), 1)
		m, err := Parse(wasm)
		if err != nil {
			t.Fatal(err)
		}
		o := full
		o.TableEntries = MaxTableEntries
		out := m.Rewrite(o)
		if !strings.Contains(out.Unfueled, "with fuel, ") || !out.Detached || len(out.Globals) != 1 || out.Hook == "" {
			t.Errorf("unfueled: %q, detached: %v, globals: %q", out.Unfueled, out.Detached, out.Globals)
		}
		if again, err := Parse(out.Wasm); err != nil || len(again.Imports) != 0 {
			t.Error("the module isn't what it was", err)
		}
	}
}
