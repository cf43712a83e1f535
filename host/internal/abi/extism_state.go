package abi

import (
	"fmt"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Extism's configuration and variables. A variable lives as long as its invocation.

// maxVars bounds all variables of an invocation, names included: Extism's own default.
const maxVars = 1 << 20

// configGet: stack [block with the key] -> block with the value, or 0
func configGet(c *guest.Call, blocks Blocks, stack []uint64) {
	value, ok := c.Config.Texts[string(blocks.Read(stack[0]))]
	stack[0] = 0
	if ok {
		stack[0], _ = blocks.Write([]byte(value))
	}
}

// varGet: stack [block with the name] -> block with the value, or 0
func varGet(c *guest.Call, blocks Blocks, stack []uint64) {
	name := blocks.Read(stack[0])
	blocks.Free(stack[0])
	stack[0], _ = blocks.Write(c.Vars[string(name)])
}

// varSet: stack [block with the name, block with the value or 0 to delete] -> []. A full store traps, as in Extism: the function has
// no result to say it with.
func varSet(c *guest.Call, blocks Blocks, stack []uint64) {
	name, value := string(blocks.Read(stack[0])), blocks.Read(stack[1])
	blocks.Free(stack[0])
	old, known := c.Vars[name]
	if known {
		c.VarBytes -= len(name) + len(old)
		delete(c.Vars, name)
	}
	if stack[1] == 0 {
		return
	}
	blocks.Free(stack[1])
	if c.VarBytes += len(name) + len(value); c.VarBytes > maxVars {
		panic(fmt.Errorf("var_set: the plugin's variables take more than %d bytes", maxVars))
	}
	if c.Vars == nil {
		c.Vars = map[string][]byte{}
	}
	c.Vars[name] = value
}
