package guest

import (
	"context"

	"github.com/tetratelabs/wazero/api"
)

// The engine hands a host function nothing of ours but the context of the call that entered the guest. This file is the one
// place where state travels in a context; see host/RATIONALE.md, "Why does a context carry the invocation?".

type callKey struct{}

// bound is a context that knows its call without a search: the type assertion in From is all that most host calls pay.
type bound struct {
	context.Context
	call *Call
}

// Value implements context.Context.
func (b *bound) Value(key any) any {
	if key == (callKey{}) {
		return b.call
	}
	return b.Context.Value(key)
}

// Bind returns the context with which to enter the guest on behalf of c.
func Bind(ctx context.Context, c *Call) context.Context { return &bound{ctx, c} }

// From returns the call that a host function was called for. It panics where there is none, which no guest can bring about.
func From(ctx context.Context) *Call {
	if b, ok := ctx.(*bound); ok {
		return b.call
	}
	return ctx.Value(callKey{}).(*Call)
}

// Func is a host function as both engines take it: parameters and results on one stack of 64-bit slots.
type Func struct {
	Name            string
	Params, Results []api.ValueType
	Do              func(c *Call, stack []uint64)
}

// Shorthands for signatures.
const (
	I32 = api.ValueTypeI32
	I64 = api.ValueTypeI64
)
