package rewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestSpecification runs WebAssembly's core test suite, as wazero carries it, twice: with its modules as they are, and rewritten with
// everything that there is. Both must answer each call alike, trap alike, and leave equal memories and globals. Fuel runs out every three units,
// so that hardly a function gets by without calling the host.
func TestSpecification(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("some 60,000 calls")
	}
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(dir)), "internal/integration_test/spectest")
	shared, err := os.ReadFile(filepath.Join(root, "testdata/spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var all suite
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" || strings.Contains(path, "threads") {
			return err
		}
		all.run(t, path, shared)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d modules, of which %d detached and %d unfit for an image; %d calls, %d of them traps; %d ticks; left out: %d modules, %d calls of them",
		all.modules, all.detached, all.unfit, all.calls, all.traps, all.ticks, all.refused, all.skipped)
	if all.modules < 2000 || all.calls < 50_000 || all.ticks < 100_000 {
		t.Error("that isn't the whole suite")
	}
}

type suite struct{ modules, detached, unfit, refused, calls, traps, skipped, ticks int }

type command struct {
	Type, Name, Filename, As string
	Line                     int
	Action                   struct {
		Type, Module, Field string
		Args                []specValue
	}
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    json.RawMessage
}

// twin is a module in both of its forms.
type twin struct {
	plain, fueled api.Module
	globals       []string
	memory        bool
}

func (s *suite) run(t *testing.T, path string, shared []byte) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Commands []command }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	plain, fueled := compiler(ctx), compiler(ctx)
	defer plain.Close(ctx)
	defer fueled.Close(ctx)
	_, err = fueled.NewHostModuleBuilder(full.Fuel.Module).NewFunctionBuilder().WithFunc(func() { s.ticks++ }).Export(full.Fuel.Name).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range []wazero.Runtime{plain, fueled} {
		if _, err := rt.InstantiateWithConfig(ctx, shared, wazero.NewModuleConfig().WithName("spectest")); err != nil {
			t.Fatal(err)
		}
	}
	named := map[string]*twin{}
	var last *twin
	for i, c := range file.Commands {
		where := fmt.Sprintf("%s:%d", filepath.Base(path), c.Line)
		switch c.Type {
		case "module", "assert_uninstantiable":
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			if err != nil || !strings.HasSuffix(c.Filename, ".wasm") {
				continue
			}
			last = s.instantiate(t, where, plain, fueled, wasm, registered(file.Commands[i:], c.Name))
			if c.Name != "" {
				named[c.Name] = last
			}
		case "assert_return", "assert_trap", "assert_exhaustion", "assert_exception", "action":
			on := last
			if c.Action.Module != "" {
				on = named[c.Action.Module]
			}
			if on == nil || c.Action.Type != "invoke" {
				s.skipped++
				continue
			}
			s.call(t, where, on, c)
		}
	}
}

// registered is the name that a module is imported by later on. wazero wants to know it from the start.
func registered(rest []command, name string) string {
	for i, c := range rest {
		if c.Type == "register" && (c.Name == name || c.Name == "") {
			return c.As
		}
		if i > 0 && c.Type == "module" && name == "" {
			return ""
		}
	}
	return ""
}

func compiler(ctx context.Context) wazero.Runtime {
	return wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
}

func (s *suite) instantiate(t *testing.T, where string, plain, fueled wazero.Runtime, wasm []byte, name string) *twin {
	ctx := context.Background()
	m, err := Parse(wasm)
	if err != nil {
		s.refused++
		return nil
	}
	config := wazero.NewModuleConfig().WithName(name).WithStartFunctions()
	a, errA := plain.InstantiateWithConfig(ctx, wasm, config)
	o := full
	o.TableEntries, o.Fuel.Interval = MaxTableEntries, 3
	w := m.Rewrite(o)
	b, errB := fueled.InstantiateWithConfig(ctx, w.Wasm, config)
	if errB == nil {
		errB = apply(ctx, b, w)
	}
	s.modules++
	if w.Detached {
		s.detached++
	}
	if w.Unfit != "" {
		s.unfit++
	}
	if (errA == nil) != (errB == nil) {
		t.Errorf("%s: %v as it is, %v rewritten", where, errA, errB)
	}
	if errA != nil || errB != nil {
		return nil
	}
	tw := &twin{plain: a, fueled: b, memory: len(m.Memories)+m.imported(Memory) > 0}
	for _, e := range m.Exports {
		if e.Kind == Global {
			tw.globals = append(tw.globals, e.Name)
		}
	}
	return tw
}

// apply does what the host does for what was detached.
func apply(ctx context.Context, mod api.Module, w *Rewritten) error {
	for _, d := range w.Data {
		if !mod.Memory().Write(uint32(d.Offset), d.Bytes) {
			return fmt.Errorf("no room for a segment at %d", d.Offset)
		}
	}
	if w.Start == "" {
		return nil
	}
	_, err := mod.ExportedFunction(w.Start).Call(ctx)
	return err
}

func (s *suite) call(t *testing.T, where string, on *twin, c command) {
	f, g := on.plain.ExportedFunction(c.Action.Field), on.fueled.ExportedFunction(c.Action.Field)
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words(t, where)...)
	}
	ctx := context.Background()
	ra, ea := f.Call(ctx, args...)
	rb, eb := g.Call(ctx, args...)
	s.calls++
	if ea != nil {
		s.traps++
	}
	types := f.Definition().ResultTypes()
	for i, r := range types { // references are addresses
		if r == api.ValueTypeExternref || r < api.ValueTypeF64-3 {
			if i < len(ra) && i < len(rb) && (ra[i] == 0) == (rb[i] == 0) {
				ra[i], rb[i] = 0, 0
			}
		}
	}
	if !slices.Equal(ra, rb) || reason(ea) != reason(eb) {
		t.Errorf("%s: %s(%v) = %v, %v; rewritten %v, %v", where, c.Action.Field, args, ra, reason(ea), rb, reason(eb))
	}
	for _, name := range on.globals {
		x, y := on.plain.ExportedGlobal(name), on.fueled.ExportedGlobal(name)
		if x.Type() >= api.ValueTypeF64 && x.Type() <= api.ValueTypeI32 && x.Get() != y.Get() {
			t.Errorf("%s: the global %s is %d, rewritten %d", where, name, x.Get(), y.Get())
		}
	}
	if x, y := on.plain.Memory(), on.fueled.Memory(); on.memory && s.calls%16 == 0 {
		p, _ := x.Read(0, x.Size())
		q, _ := y.Read(0, y.Size())
		if !bytes.Equal(p, q) {
			t.Errorf("%s: the memories differ", where)
		}
	}
}

// reason is the first line of a trap's text: the rest is the stack, with indices.
func reason(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// words are a value as wazero takes it.
func (v specValue) words(t *testing.T, where string) []uint64 {
	if v.Type != "v128" {
		var text string
		if err := json.Unmarshal(v.Value, &text); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if text == "null" {
			return []uint64{0}
		}
		bits := 64
		if v.Type == "i32" || v.Type == "f32" {
			bits = 32
		}
		return []uint64{number(t, where, text, bits)}
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	words := make([]uint64, 2)
	bits := 128 / len(lanes)
	for i, lane := range lanes {
		at := i * bits
		words[at/64] |= number(t, where, lane, bits) << (at % 64)
	}
	return words
}

func number(t *testing.T, where, text string, bits int) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if strings.HasPrefix(text, "-") {
		var signed int64
		signed, err = strconv.ParseInt(text, 10, 64)
		n = uint64(signed) & (1<<bits - 1)
	}
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	return n
}
