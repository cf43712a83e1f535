package abi

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
	"github.com/sortie-run/sortie/host/internal/wasi"
)

// FuzzCalls makes any calls with any arguments over a memory of any content: nothing panics but the engine's own exit, nothing
// writes outside the memory, nothing hangs. Each call takes an index and a 32-bit word for each parameter from the input; the
// memory is the input too.
func FuzzCalls(f *testing.F) {
	functions := append(Functions(), wasi.Functions()...)
	index := map[string]byte{}
	for i, fn := range functions {
		index[fn.Name] = byte(i)
	}
	// program encodes calls: a name, then as many arguments as it takes.
	program := func(steps ...any) (b []byte) {
		for _, step := range steps {
			switch v := step.(type) {
			case string:
				b = append(b, index[v])
			case int:
				b = binary.LittleEndian.AppendUint32(b, uint32(v))
			}
		}
		return b
	}
	one := encoded("http://a/", 0, 0)
	f.Add(program("request", 0, 0x10, "wait", 0, 0, 0, 0, 0), []byte("hello"))
	f.Add(program("send", 0, len(one), "fd_read", 3, 0, 1, 8, "head", 1, 0, 9), []byte(one))
	group := "\x00\x00\x00\x00\x01" + string(appendString(nil, one))
	f.Add(program("group", 0, len(group), "drop", 1), []byte(group))
	f.Add(program("group", 0, len(group), "quiet", 1, "wait", 0, 0, 1, 9, 0, "outcomes", 1, 0, 99, "outcomes", 2, 0, 99), []byte(group+strings.Repeat(" ", 99)))
	stream := opened(flagResponse|flagRequest, "POST", "http://a/", 0, 0)
	f.Add(program("open", 0, len(stream), "write", 1, 0, 9, "finish", 1, "read", 1, 0, 9, "read_error", 1, 0, 9, "cancel", 1), []byte(stream))
	many := "\x00\x00\x00\x00\x01" + string(appendString(nil, stream))
	f.Add(program("open_group", 0, len(many), "write", 2, 0, 9, "drop", 1), []byte(many))
	f.Add(program("begin", 0, 2, "write", 1, 0, 4, "write", 1, 0, 9, "finish", 1, "time_left"), []byte("\x00\x00content"))
	f.Add(program("open_request", "read", 1, 0, 3, "read_request", 0, 9, "wait", 12, 1, 1, -1, 16, "read", 1, 0, 3, "drop", 1, "stream_request"),
		[]byte("content with\x01\x00\x00\x00    "))
	engine := fetch.New(fetch.Config{})
	f.Cleanup(engine.Close)
	client, err := engine.Client(fetch.Policy{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(client.Close)
	f.Fuzz(func(t *testing.T, program, content []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		// What stands behind the memory's end must not change.
		whole := make([]byte, len(content)+8)
		copy(whole, content)
		mem := whole[:len(content):len(content)]
		config, err := guest.NewConfig(map[string]any{"a": 1})
		if err != nil {
			t.Fatal(err)
		}
		c := &guest.Call{
			Session: client.Session(ctx), Config: config, Log: guest.NewLog(1 << 10), Memory: func() []byte { return mem },
			Limits: guest.Limits{Output: 8, RequestBytes: 1 << 10, Held: 2 << 10}, Request: guest.Request{Method: "GET", Body: []byte("body")},
		}
		if len(program)%2 == 1 { // the one kind of plugin or the other
			c.Request.Body, c.Request.Source = nil, io.NopCloser(bytes.NewReader([]byte("body")))
		}
		var sending sync.WaitGroup
		c.OnBegin = func(r *guest.Response) {
			sending.Go(func() { _ = r.Stream.Drain(func([]byte) error { return nil }) })
		}
		defer func() {
			c.Session.Close()
			c.Handles.Close()
			if c.Response != nil && c.Response.Stream != nil {
				_ = c.Response.Stream.Close()
			}
			sending.Wait()
		}()
		c.Handles.Init()
		c.Start(ctx)
		defer func() {
			if r := recover(); r != nil {
				err, ok := r.(error)
				if exit := (*sys.ExitError)(nil); !ok || !errors.As(err, &exit) {
					panic(r)
				}
			}
			if [8]byte(whole[len(content):]) != [8]byte{} {
				t.Fatal("written outside the memory")
			}
		}()
		for len(program) > 0 {
			fn := functions[int(program[0])%len(functions)]
			program = program[1:]
			stack := make([]uint64, max(len(fn.Params), 1))
			for i := range fn.Params {
				var word [4]byte
				program = program[copy(word[:], program):]
				stack[i] = uint64(binary.LittleEndian.Uint32(word[:]))
			}
			fn.Do(c, stack)
		}
	})
}
