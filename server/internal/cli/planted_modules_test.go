package cli

import (
	"encoding/json"
	"slices"
	"strings"

	wabin "github.com/tetratelabs/wabin/binary"
	"github.com/tetratelabs/wabin/leb128"
	"github.com/tetratelabs/wabin/wasm"
)

// rawModule is a raw plugin. Its imports are of extism:host, named env/… or user/…, with a type of 0: () i64, 1: (i64) i64, 2: (i64, i64), 3: (i64), 4: (i64, i64) i64.
func rawModule(imports []string, kinds []wasm.Index, body ...byte) []byte {
	i64, i32 := wasm.ValueTypeI64, wasm.ValueTypeI32
	m := &wasm.Module{
		TypeSection: []*wasm.FunctionType{
			{Results: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64}, Results: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64, i64}},
			{Params: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64, i64}, Results: []wasm.ValueType{i64}}, {Results: []wasm.ValueType{i32}},
		},
		FunctionSection: []wasm.Index{5},
		MemorySection:   &wasm.Memory{Min: 1},
		ExportSection:   []*wasm.Export{{Type: wasm.ExternTypeFunc, Name: "handle", Index: wasm.Index(len(imports))}},
		CodeSection:     []*wasm.Code{{LocalTypes: []wasm.ValueType{i64}, Body: append(body, wasm.OpcodeEnd)}},
	}
	for i, name := range imports {
		space, function, _ := strings.Cut(name, "/")
		m.ImportSection = append(m.ImportSection, &wasm.Import{Type: wasm.ExternTypeFunc, Module: "extism:host/" + space, Name: function, DescFunc: kinds[i]})
	}
	return wabin.EncodeModule(m)
}

const (
	kindGet  wasm.Index = iota // () i64
	kindMap                    // (i64) i64
	kindPair                   // (i64, i64)
	kindPut                    // (i64)
	kindBoth                   // (i64, i64) i64
)

// The plugins. Each takes what it's to do from its caller.
var (
	// telling fails with what fetch_all says, noting logs it.
	telling = rawModule([]string{"env/input_offset", "user/fetch_all", "env/error_set"}, []wasm.Index{kindGet, kindMap, kindPut},
		wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeCall, 2, wasm.OpcodeI32Const, 1)
	noting = rawModule([]string{"env/input_offset", "user/fetch_all", "env/log_warn"}, []wasm.Index{kindGet, kindMap, kindPut},
		wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeCall, 2, wasm.OpcodeI32Const, 0)
	// asking makes an Extism plugin's own http_request.
	asking = rawModule([]string{"env/input_offset", "env/http_request", "env/length", "env/output_set"}, []wasm.Index{kindGet, kindBoth, kindMap, kindPair},
		wasm.OpcodeCall, 0, wasm.OpcodeI64Const, 0, wasm.OpcodeCall, 1, wasm.OpcodeLocalTee, 0, wasm.OpcodeLocalGet, 0, wasm.OpcodeCall, 2, wasm.OpcodeCall, 3, wasm.OpcodeI32Const, 0)
	// logging logs what it's sent.
	logging  = rawModule([]string{"env/input_offset", "env/log_info"}, []wasm.Index{kindGet, kindPut}, wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeI32Const, 0)
	looping  = rawModule(nil, nil, wasm.OpcodeLoop, 0x40, wasm.OpcodeBr, 0, wasm.OpcodeEnd, wasm.OpcodeI32Const, 0)
	trapping = rawModule(nil, nil, wasm.OpcodeUnreachable)
	flooding = httpModule(httpImports{{"log", 3, 1}}, slices.Concat(number(8), number(0), number(60000), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop},
		number(8), number(0), number(60000), []byte{wasm.OpcodeCall, 0}))
	// seeing answers with the head of its request, as the host encodes it, and some zeros.
	seeing = httpModule(httpImports{{"request", 2, 1}, {"respond", 2, 1}}, slices.Concat(
		number(1024), number(8192), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop}, number(0), number(16), []byte{wasm.OpcodeCall, 1}))
	// flowing streams it, and then fails if there's a body.
	flowing = httpModule(httpImports{{"request", 2, 1}, {"begin", 2, 1}, {"write", 3, 1}, {"read_request", 2, 1}}, slices.Concat(
		number(1024), number(8192), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop}, number(0), number(8), []byte{wasm.OpcodeCall, 1},
		number(1024), number(8192), []byte{wasm.OpcodeCall, 2, wasm.OpcodeDrop}, number(16384), number(16), []byte{wasm.OpcodeCall, 3}))
)

type httpImports []struct {
	name            string
	params, results int
}

// httpModule is an HTTP plugin. At 0 it has a response: status 200, no fields, a body of 8192 bytes at 1024.
func httpModule(imports httpImports, body []byte) []byte {
	types := func(n int) []wasm.ValueType { return slices.Repeat([]wasm.ValueType{wasm.ValueTypeI32}, n) }
	m := &wasm.Module{
		TypeSection:     []*wasm.FunctionType{{Results: types(1)}},
		FunctionSection: []wasm.Index{0},
		MemorySection:   &wasm.Memory{Min: 1},
		ExportSection: []*wasm.Export{
			{Type: wasm.ExternTypeFunc, Name: "handle", Index: wasm.Index(len(imports))}, {Type: wasm.ExternTypeMemory, Name: "memory"},
		},
		CodeSection: []*wasm.Code{{Body: append(body, wasm.OpcodeEnd)}},
		DataSection: []*wasm.DataSegment{{
			OffsetExpression: &wasm.ConstantExpression{Opcode: wasm.OpcodeI32Const, Data: leb128.EncodeInt32(0)},
			Init:             []byte{0x80, 0, 0, 200, 0x80, 0, 0, 0, 0x80, 0, 4, 0, 0x80, 0, 32, 0}, // varints of four bytes
		}},
	}
	for i, f := range imports {
		m.TypeSection = append(m.TypeSection, &wasm.FunctionType{Params: types(f.params), Results: types(f.results)})
		m.ImportSection = append(m.ImportSection, &wasm.Import{Type: wasm.ExternTypeFunc, Module: "sortie:host/v1", Name: f.name, DescFunc: wasm.Index(i + 1)})
	}
	return wabin.EncodeModule(m)
}

func number(n int32) []byte { return append([]byte{wasm.OpcodeI32Const}, leb128.EncodeInt32(n)...) }

// fetches is the input of a plugin that gives it to fetch_all.
func (p *planting) fetches(urls []string, header ...string) []byte {
	fields := [][2]string{}
	for i := 0; i+1 < len(header); i += 2 {
		fields = append(fields, [2]string{header[i], header[i+1]})
	}
	var all []map[string]any
	for _, u := range urls {
		all = append(all, map[string]any{"url": u, "headers": fields})
	}
	text, err := json.Marshal(map[string]any{"mode": "all_settled", "requests": all})
	p.must(err)
	return text
}
