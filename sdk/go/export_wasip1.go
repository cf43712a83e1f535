package sortie

import "github.com/sortie-run/sortie/sdk/go/internal/guest"

// handle is what the host calls, once for each invocation: the manifest's `entry`.
//
//go:wasmexport handle
func handle() int32 { return guest.Run() }

func warmup(f func()) { guest.Warmups = append(guest.Warmups, f) }

// warm is called before the host saves the instance's memory for all invocations to begin with: once to warm up, and with -1 to come to rest.
//
//go:wasmexport sortie_warmup
func warm(room int32) int32 { return guest.Warm(room) }
