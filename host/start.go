package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/sortie-run/sortie/host/internal/rewrite"
)

// apart is what the rewrite took out of a module, for the host to do once instead of each time an instance is made: to fill the memory, and
// to run the start function.
type apart struct{ rewritten *rewrite.Rewritten }

// initialise does what instantiating the original module would have done, and then calls the initialiser, if the module has it.
func (a apart) initialise(ctx context.Context, mod api.Module, initialiser string) error {
	for _, s := range a.rewritten.Data {
		if !mod.Memory().Write(uint32(s.Offset), s.Bytes) {
			return fmt.Errorf("a data segment at %d doesn't fit the memory", s.Offset)
		}
	}
	for _, name := range []string{a.rewritten.Start, initialiser} {
		if name == "" || mod.ExportedFunction(name) == nil {
			continue
		}
		if _, err := mod.ExportedFunction(name).Call(ctx); err != nil {
			return err
		}
	}
	return nil
}

// grow makes a memory as large as its image, which is there already.
func grow(m api.Memory, size int) error {
	if size == 0 || size <= int(m.Size()) { // without a memory m is not nil, but can't be used
		return nil
	}
	if _, ok := m.Grow(uint32(size-int(m.Size())) / pageSize); !ok {
		return errors.New("the memory can't be as large as its image")
	}
	return nil
}

// globals are the mutable ones of an instance's main module, as the rewrite exports them.
func globals(mod api.Module, names []string) []api.MutableGlobal {
	all := make([]api.MutableGlobal, 0, len(names))
	for _, name := range names {
		if g, ok := mod.ExportedGlobal(name).(api.MutableGlobal); ok {
			all = append(all, g)
		}
	}
	return all
}
