package sortie

import (
	"context"

	"github.com/sortie-run/sortie/sdk/go/internal/guest"
	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// handle is what the host calls, once for each invocation: the manifest's `entry`.
//
//go:wasmexport handle
func handle() int32 { return guest.Run() }

func warmup(f func()) { guest.Warmups = append(guest.Warmups, f) }

// warm is called before the host saves the instance's memory for all invocations to begin with: once to warm up, and with -1 to come to rest.
//
//go:wasmexport sortie_warmup
func warm(room int32) int32 {
	result := guest.Warm(room)
	if room >= 0 {
		serveNothing()
	}
	return result
}

// serveNothing goes the way of every request once, with a handler that isn't the plugin's: what Go's runtime and this package set up at
// their first use is then in the saved memory.
func serveNothing() {
	entry, streams := host.Registered()
	host.SetEntry(func(ctx context.Context, h host.Host, in *host.Inbound) (*host.Outbound, error) {
		return invoke(ctx, h, in, func(context.Context, *Request) (*Response, error) { return Text(""), nil })
	}, false)
	guest.Run()
	host.SetEntry(entry, streams)
}
