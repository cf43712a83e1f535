package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	wabin "github.com/tetratelabs/wabin/binary"
	"github.com/tetratelabs/wabin/leb128"
	"github.com/tetratelabs/wabin/wasm"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store/files"
)

// module assembles a guest: its memory begins with data, the functions it imports are numbered from 0, its export "handle" has the
// body. A function's type is given as its numbers of i32 parameters and results, or of i64 where they're below 0.
func module(data []byte, imports []importedFunc, body ...byte) []byte {
	m := &wasm.Module{
		TypeSection:     []*wasm.FunctionType{functionType(0, 1)},
		FunctionSection: []wasm.Index{0},
		MemorySection:   &wasm.Memory{Min: 1},
		CodeSection:     []*wasm.Code{{Body: append(body, wasm.OpcodeEnd)}},
		DataSection: []*wasm.DataSegment{{
			OffsetExpression: &wasm.ConstantExpression{Opcode: wasm.OpcodeI32Const, Data: leb128.EncodeInt32(0)}, Init: data,
		}},
	}
	for _, i := range imports {
		m.ImportSection = append(m.ImportSection, &wasm.Import{
			Type: wasm.ExternTypeFunc, Module: i.module, Name: i.name, DescFunc: wasm.Index(len(m.TypeSection)),
		})
		m.TypeSection = append(m.TypeSection, functionType(i.params, i.results))
	}
	m.ExportSection = []*wasm.Export{
		{Type: wasm.ExternTypeFunc, Name: "handle", Index: wasm.Index(len(imports))},
		{Type: wasm.ExternTypeMemory, Name: "memory", Index: 0},
	}
	return wabin.EncodeModule(m)
}

type importedFunc struct {
	module, name    string
	params, results int
}

func functionType(params, results int) *wasm.FunctionType {
	types := func(n int) (out []wasm.ValueType) {
		kind := wasm.ValueTypeI32
		if n < 0 {
			kind, n = wasm.ValueTypeI64, -n
		}
		for range n {
			out = append(out, kind)
		}
		return out
	}
	return &wasm.FunctionType{Params: types(params), Results: types(results)}
}

// responding is an HTTP plugin that always gives the same response (host/ABI.md, "The invocation").
func responding(status int, header []fetch.Field, body string) []byte {
	// Every varint takes four bytes, every string begins with one (RFC 9000, section 16).
	varint := func(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, 2<<30|uint32(n)) }
	text := func(b []byte, s string) []byte { return append(varint(b, len(s)), s...) }
	var fields []byte
	for _, f := range header {
		fields = text(text(fields, f.Name), f.Value)
	}
	head := append(varint(varint(nil, status), len(fields)), fields...)
	head = varint(varint(head, len(head)+8), len(body))
	respond := []importedFunc{{"sortie:host/v1", "respond", 2, 1}}
	code := append([]byte{wasm.OpcodeI32Const, 0, wasm.OpcodeI32Const}, leb128.EncodeInt32(int32(len(head)))...)
	return module(append(head, body...), respond, append(code, wasm.OpcodeCall, 0)...) // returns what respond returned
}

// echoing is a raw Extism plugin that answers with its input.
func echoing() []byte {
	return module(nil, []importedFunc{
		{"extism:host/env", "input_offset", 0, -1}, {"extism:host/env", "input_length", 0, -1}, {"extism:host/env", "output_set", -2, 0},
	}, wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeCall, 2, wasm.OpcodeI32Const, 0)
}

var (
	loops = module(nil, nil, wasm.OpcodeLoop, 0x40, wasm.OpcodeBr, 0, wasm.OpcodeEnd, wasm.OpcodeI32Const, 0)
	traps = module(nil, nil, wasm.OpcodeUnreachable)
	fails = module(nil, []importedFunc{{"sortie:host/v1", "respond", 2, 1}}, wasm.OpcodeI32Const, 7)
)

// startReal starts a server over a real host, on the store and the compile cache in dir. It speaks HTTP/1.1 and HTTP/2, and its plugins may
// fetch from loopback.
func startReal(t *testing.T, dir string) (*testServer, func()) {
	t.Helper()
	return startRealWith(t, dir, func(*manifest.Operator) {})
}

// startRealWith does so with another configuration.
func startRealWith(t *testing.T, dir string, configure func(*manifest.Operator)) (*testServer, func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	operator := manifest.DefaultOperator()
	operator.Private = []string{"http://127.0.0.1:*"}
	configure(operator)
	engine := fetch.New(fetch.Config{Fetches: 10, PerOrigin: 10})
	rt, err := host.New(t.Context(), host.Config{CacheDir: filepath.Join(dir, "cache"), Engine: engine, Operator: operator, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	st, err := files.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(t.Context(), Deps{Runtime: rt, Store: st, Operator: operator, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(s)
	h.Config = HTTPServer(s, log)
	h.Config.Protocols = new(http.Protocols)
	h.Config.Protocols.SetHTTP1(true)
	h.Config.Protocols.SetUnencryptedHTTP2(true)
	h.Start()
	return &testServer{Server: s, t: t, url: h.URL, log: new(syncBuffer)}, func() {
		ctx := context.WithoutCancel(t.Context())
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		h.Close()
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
		engine.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRealPlugins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, stop := startReal(t, dir)
	header := []fetch.Field{{Name: "content-type", Value: "text/x-tea"}, {Name: "set-cookie", Value: "a=b; Path=/"}}
	tea := responding(418, header, "short and stout")
	s.deployed("tea", "", string(tea), "")
	s.deployed("echo", "", string(echoing()), "")
	s.deployed("loops", "limits: {wall: 200ms}", string(loops), "")
	s.deployed("traps", "", string(traps), "")
	s.deployed("fails", "", string(fails), "")

	for range 2 {
		a := s.get("/p/tea/x")
		if a.StatusCode != 418 || a.body != "short and stout" || a.Header.Get("Content-Type") != "text/x-tea" ||
			a.Header.Get("Set-Cookie") != "a=b; Path=/p/tea" {
			t.Errorf("tea: %d %q %v", a.StatusCode, a.body, a.Header)
		}
		var queue, guest, fetched, total float64
		var n int
		timing := a.Header.Get("Server-Timing")
		const format = `queue;dur=%f, guest;dur=%f, fetch;dur=%f;desc="%d", total;dur=%f`
		if _, err := fmt.Sscanf(timing, format, &queue, &guest, &fetched, &n, &total); err != nil {
			t.Errorf("Server-Timing = %q: %v", timing, err)
		}
		if n != 0 || total <= 0 || total+0.01 < queue+guest+fetched {
			t.Errorf("Server-Timing = %q", timing)
		}
		if a := s.send(http.MethodPost, "/p/echo", strings.NewReader("hello")); a.StatusCode != 200 || a.body != "hello" {
			t.Errorf("echo: %d %q", a.StatusCode, a.body)
		}
		wantProblem(t, s.get("/p/loops"), 504, "limit_wall")
		wantProblem(t, s.get("/p/traps"), 500, "plugin_trapped")
		wantProblem(t, s.get("/p/fails"), 500, "plugin_error")
	}
	bad := s.send(http.MethodPut, "/v1/plugins/tea", strings.NewReader("\x00asm\x01\x00\x00\x00junk"), "Content-Type", "application/wasm")
	wantProblem(t, bad, 422, "invalid_wasm")
	if a := s.get("/p/tea"); a.StatusCode != 418 || a.Header.Get("Sortie-Version") != "1" {
		t.Errorf("after a deploy that failed: %d, version %s", a.StatusCode, a.Header.Get("Sortie-Version"))
	}
	stop()

	s, stop = startReal(t, dir)
	defer stop()
	if a := s.get("/p/tea"); a.StatusCode != 418 || a.body != "short and stout" {
		t.Errorf("after a restart: %d %q", a.StatusCode, a.body)
	}
	if s.plugins.find("echo").versions[1].guest != nil {
		t.Error("a plugin nobody called was loaded at the start")
	}
}
