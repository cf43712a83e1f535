package host_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/internal/image"
)

// BenchmarkIsolation is what a clean state costs: calls with the state kept, and from an image in each of the ways, by turns, so that a busy machine
// slows all of them. It reports medians of a call's time, and for the ways how much more that is than with the state kept.
func BenchmarkIsolation(b *testing.B) {
	for _, guest := range []struct {
		name string
		wasm func(testing.TB) []byte
		path string
		body string
	}{
		{"trivial", func(t testing.TB) []byte { return hosttest.Build(t, guestDir) }, "/same", ""},
		{"json", func(t testing.TB) []byte { return hosttest.Build(t, guestDir) }, "/json", sample},
		{"wat", func(t testing.TB) []byte { return file(t, "testdata/wat/small.wasm") }, "/", "x"},
		{"wat2MiB", func(t testing.TB) []byte { return file(t, "testdata/wat/bodies.wasm") }, "/", "x"},
	} {
		b.Run(guest.name, func(b *testing.B) {
			const calls = 50 // of each at a time
			ways := []struct {
				name, yaml string
				method     image.Method
			}{{"kept", "isolation: pooled", image.Watch}, {"watch", "name: a", image.Watch}, {"scan", "name: a", image.Scan}, {"refault", "name: a", image.Refault}}
			do, took := make([]func(string, []byte) string, len(ways)), make([][]float64, len(ways))
			for i, way := range ways {
				rt := newRuntime(b, fetch.Config{})
				rt.UseImages(way.method)
				// As a plugin that cares says it: what its first request would set up is in the image.
				p := loadBytes(b, rt, guest.wasm(b), fmt.Sprintf("%s\nwarmup: {method: POST, path: %s, body: %q}", way.yaml, guest.path, guest.body))
				do[i] = tell(b, p)
				for range calls {
					do[i](guest.path, []byte(guest.body))
				}
			}
			for b.Loop() {
				for i := range ways {
					start := time.Now()
					for range calls {
						do[i](guest.path, []byte(guest.body))
					}
					took[i] = append(took[i], time.Since(start).Seconds()*1e6/calls)
				}
			}
			b.ReportMetric(0, "ns/op") // of all ways together
			for i, way := range ways {
				slices.Sort(took[i])
				if b.ReportMetric(took[i][len(took[i])/2], way.name+"-µs"); i > 0 {
					b.ReportMetric(took[i][len(took[i])/2]-took[0][len(took[0])/2], way.name+"-more-µs")
				}
			}
		})
	}
}

// BenchmarkExtismInstance is what a clean state costs in Extism's own SDK: calls of one instance, and of one that each call gets for itself. The
// guest is one in Go that does next to nothing.
func BenchmarkExtismInstance(b *testing.B) {
	ctx := b.Context()
	m := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: hosttest.Build(b, "../server/bench/guest")}}}
	plugin, err := extism.NewCompiledPlugin(ctx, m, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = plugin.Close(ctx) }()
	start := func() *extism.Plugin {
		instance, err := plugin.Instance(ctx, extism.PluginInstanceConfig{})
		if err != nil {
			b.Fatal(err)
		}
		return instance
	}
	run := func(instance *extism.Plugin) {
		if _, out, err := instance.CallWithContext(ctx, "trivial", []byte(`{"id":"a"}`)); err != nil || string(out) != `{"id":"a"}` {
			b.Fatalf("%s, %v", out, err)
		}
	}
	b.Run("warm", func(b *testing.B) {
		instance := start()
		defer func() { _ = instance.CloseWithContext(ctx) }()
		for b.Loop() {
			run(instance)
		}
	})
	b.Run("instance", func(b *testing.B) {
		for b.Loop() {
			instance := start()
			run(instance)
			_ = instance.CloseWithContext(ctx)
		}
	})
}

const sample = `{"name":"prices","items":[{"id":1,"tags":["a","b"],"price":12.5},{"id":2,"tags":[],"price":1e3},{"id":3,"tags":["c"],"price":0}],"ok":true,"note":null}`
