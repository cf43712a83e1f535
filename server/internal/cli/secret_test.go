package cli

import (
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	wabin "github.com/tetratelabs/wabin/binary"
	"github.com/tetratelabs/wabin/wasm"
)

// fetcher is `fetcher FILE`: it writes a raw plugin that gives its input to fetch_all, and answers with what that says.
func fetcher(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fetcher FILE")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fetching(), 0o644))
}

func fetching() []byte {
	i64, i32 := wasm.ValueTypeI64, wasm.ValueTypeI32
	imported := func(module, name string, kind wasm.Index) *wasm.Import {
		return &wasm.Import{Type: wasm.ExternTypeFunc, Module: module, Name: name, DescFunc: kind}
	}
	return wabin.EncodeModule(&wasm.Module{
		TypeSection: []*wasm.FunctionType{
			{Results: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64}, Results: []wasm.ValueType{i64}},
			{Params: []wasm.ValueType{i64, i64}}, {Results: []wasm.ValueType{i32}},
		},
		ImportSection: []*wasm.Import{
			imported("extism:host/env", "input_offset", 0), imported("extism:host/user", "fetch_all", 1),
			imported("extism:host/env", "length", 1), imported("extism:host/env", "output_set", 2),
		},
		FunctionSection: []wasm.Index{3},
		MemorySection:   &wasm.Memory{Min: 1},
		ExportSection:   []*wasm.Export{{Type: wasm.ExternTypeFunc, Name: "handle", Index: 4}},
		CodeSection: []*wasm.Code{{LocalTypes: []wasm.ValueType{i64}, Body: []byte{
			wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeLocalTee, 0, wasm.OpcodeLocalGet, 0, wasm.OpcodeCall, 2, wasm.OpcodeCall, 3,
			wasm.OpcodeI32Const, 0, wasm.OpcodeEnd,
		}}},
	})
}
