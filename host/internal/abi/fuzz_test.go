package abi

import (
	"context"
	"encoding/binary"
	"errors"
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
	f.Add([]byte("\x00\x00\x00\x00\x10\x00\x00\x00\xff"), []byte("hello"))
	f.Add([]byte("\x06\x00\x00\x00\x00\x15\x00\x00\x00"), []byte(encoded("http://a/", 0, 0)))
	f.Add([]byte("\x07\x00\x00\x00\x00\x1b\x00\x00\x00"), []byte("\x00\x00\x00\x00\x01"+string(appendString(nil, encoded("http://a/", 0, 0)))))
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
		defer c.Session.Close()
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
