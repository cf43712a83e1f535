package host

import (
	"strings"
	"unicode"

	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/rewrite"
	"github.com/sortie-run/sortie/host/internal/wasi"
	"github.com/sortie-run/sortie/host/manifest"
)

// inspected is what a module's sections tell before it is compiled.
type inspected struct {
	raw      bool   // an Extism plugin, or one that imports neither ABI
	sleeps   bool   // it can wait by itself, so that it may have more than one thing going on
	unfit    string // why each invocation needs an instance that is started for it; "": it doesn't
	unfueled string // why it is stopped by looking at its context; "": it runs out of fuel
}

const pageSize = 64 << 10

// inspect decides what kind of plugin a module is, refuses what can't run, and returns the module as it is to be compiled. What the shelf has of
// it is judged like a module that is seen for the first time, but needs no parsing and rewriting.
func inspect(wasm []byte, m *manifest.Manifest, shelf rewrite.Shelf) (inspected, *rewrite.Kept, error) {
	kept, found := shelf.Find(wasm, entries(m))
	if found {
		what, err := judge(&kept.Outline, m)
		if err != nil {
			return what, nil, err
		}
		if kept.Options.Equal(options(&kept.Outline, m)) {
			return judged(what, kept)
		}
	}
	mod, err := rewrite.Parse(wasm)
	if err != nil {
		e := NewError(CodeInvalidWasm, "%v", err)
		e.Err = err
		return inspected{}, nil, e
	}
	what, err := judge(&mod.Outline, m)
	if err != nil {
		return what, nil, err
	}
	o := options(&mod.Outline, m)
	kept = &rewrite.Kept{Outline: mod.Outline, Options: o, Rewritten: *mod.Rewrite(o)}
	return judged(what, kept)
}

// judged adds what the rewrite found, and refuses what can't run without what it couldn't do.
func judged(what inspected, kept *rewrite.Kept) (inspected, *rewrite.Kept, error) {
	what.unfit, what.unfueled = kept.Unfit, kept.Unfueled
	if what.unfit == "" && !kept.Detached {
		what.unfit = "its memory can't be filled apart from its start"
	}
	if what.unfueled != "" && kept.Outline.Refers {
		return what, nil, NewError(CodeInvalidWasm, "the module's code refers to functions (ref.func), which it can only together with fuel; but %s", what.unfueled)
	}
	return what, kept, nil
}

// judge decides what kind of plugin a module is, and refuses what can't run.
func judge(mod *rewrite.Outline, m *manifest.Manifest) (inspected, error) {
	what := inspected{raw: true}
	extism := false
	for _, i := range mod.Imports {
		if err := known(i); err != nil {
			return what, err
		}
		what.raw = what.raw && i.Module != abi.Namespace
		extism = extism || strings.HasPrefix(i.Module, "extism:")
		what.sleeps = what.sleeps || i.Module == wasi.Namespace && i.Name == "poll_oneoff"
	}
	if extism && !what.raw {
		return what, NewError(CodeInvalidWasm,
			"the module imports both %s and Extism's functions; build it with one of the two", abi.Namespace)
	}
	if err := fits(mod, m); err != nil {
		return what, err
	}
	entry, ok := mod.Export(m.Entry, rewrite.Func)
	if !ok {
		return what, NewError(CodeInvalidWasm, "the module exports no function %q (the manifest's entry); it exports %s",
			quoted(m.Entry), exported(mod))
	}
	if what.raw && (entry.Params > 0 || entry.Results > 1) {
		return what, NewError(CodeInvalidWasm, "the entry %s must take nothing and return one value at most", quoted(m.Entry))
	}
	return what, nil
}

// options are how a module is rewritten.
func options(mod *rewrite.Outline, m *manifest.Manifest) rewrite.Options {
	o := rewrite.Options{
		TableEntries: entries(m), Expose: exposed, Detach: !mod.Exported("hs_init", rewrite.Func), LazyTable: lazyTable,
		Fuel: rewrite.Fuel{Module: fuelNamespace, Name: tick.Name, Interval: fuelInterval},
	}
	for _, i := range mod.Imports {
		o.Redirect = append(o.Redirect, redirect(i))
	}
	return o
}

const (
	// exposed begins the names of what the rewrite exports.
	exposed = "sortie:"
	// lazyTable is from how many entries on a plugin's table is filled as it is used.
	lazyTable = 256
	// fuelInterval is how many loops and calls a guest makes between two ticks: some 50 µs.
	fuelInterval = 20_000
)

// redirect sends those of Extism's imports that Sortie answers itself to our functions.
func redirect(i rewrite.Import) string {
	if i.Module == abi.ExtismEnv && replaced[i.Name] {
		return abi.ExtismOurs
	}
	return ""
}

// known refuses an import that no host function stands for.
func known(i rewrite.Import) error {
	if i.Kind != rewrite.Func {
		return NewError(CodeInvalidWasm, "the module imports the %s %s.%s; only functions can be imported", i.Kind, quoted(i.Module), quoted(i.Name))
	}
	names, ok := importable[i.Module]
	switch {
	case ok && names[i.Name]:
		return nil
	case ok:
		return NewError(CodeInvalidWasm, "the module imports %s.%s, which this server doesn't have; was it built for a newer one?",
			i.Module, quoted(i.Name))
	case strings.HasPrefix(i.Module, abi.Prefix):
		return NewError(CodeInvalidWasm, "the module was built for Sortie's ABI %s; this server speaks v1",
			quoted(strings.TrimPrefix(i.Module, abi.Prefix)))
	default:
		return NewError(CodeInvalidWasm, "the module imports %s.%s; a plugin can import from %s, %s, %s and %s only",
			quoted(i.Module), quoted(i.Name), abi.Namespace, abi.ExtismEnv, abi.ExtismUser, wasi.Namespace)
	}
}

// entries is how many table entries a plugin's memory limit allows. They lie outside the plugin's memory, so an instance can take the
// limit twice: once for its memory and once for these.
func entries(m *manifest.Manifest) uint64 {
	return min(uint64(m.Limits.Memory)/rewrite.EntrySize, rewrite.MaxTableEntries)
}

// fits refuses a module that its memory limit could not even start.
func fits(mod *rewrite.Outline, m *manifest.Manifest) error {
	if len(mod.Memories) > 1 {
		return NewError(CodeInvalidWasm, "the module has %d memories; plugins have one", len(mod.Memories))
	}
	for _, l := range mod.Memories {
		if limit := uint64(m.Limits.Memory); l.Min > limit/pageSize {
			return NewError(CodeInvalidWasm, "the module needs %d pages of 64 KiB to start, limits.memory is %s", l.Min, m.Limits.Memory)
		}
	}
	if n := mod.TableEntries; n > entries(m) {
		return NewError(CodeInvalidWasm, "the module's tables and passive element segments have %d entries of %d bytes, limits.memory is %s",
			n, rewrite.EntrySize, m.Limits.Memory)
	}
	return nil
}

func exported(mod *rewrite.Outline) string {
	var names []string
	for _, e := range mod.Exports {
		if e.Kind == rewrite.Func && e.Name != warmupExport && len(names) < 10 {
			names = append(names, quoted(e.Name))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// quoted is a foreign name as an error shows it: its first 100 characters, and no control characters.
func quoted(name string) string {
	const most = 100
	shown := make([]rune, 0, min(len(name), most+1))
	for _, c := range name {
		if len(shown) == most {
			return string(append(shown, '…'))
		}
		if !unicode.IsPrint(c) {
			c = unicode.ReplacementChar
		}
		shown = append(shown, c)
	}
	return string(shown)
}

// importable lists the functions a module can import, by the module it imports them from.
var importable, replaced = importables()

func importables() (all map[string]map[string]bool, ours map[string]bool) {
	all = map[string]map[string]bool{abi.Namespace: {}, wasi.Namespace: {}, abi.ExtismEnv: {}, abi.ExtismUser: {}}
	ours = map[string]bool{}
	for _, f := range abi.Functions() {
		all[abi.Namespace][f.Name] = true
	}
	for _, f := range wasi.Functions() {
		all[wasi.Namespace][f.Name] = true
	}
	for _, f := range abi.UserFunctions() {
		all[abi.ExtismUser][f.Name] = true
	}
	for _, f := range abi.Replaced() {
		all[abi.ExtismEnv][f.Name], ours[f.Name] = true, true
	}
	for _, name := range extismNames {
		all[abi.ExtismEnv][name] = true
	}
	return all, ours
}

// extismNames are the functions that the Extism SDK itself answers, as of go-sdk 1.7.1.
var extismNames = []string{
	"alloc", "free", "load_u8", "input_load_u8", "store_u64", "store_u8", "input_set", "output_set", "input_length",
	"input_offset", "output_length", "output_offset", "length", "length_unsafe", "reset", "error_set", "error_get",
	"memory_bytes", "input_load_u64", "load_u64",
}
