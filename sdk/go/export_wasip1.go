package sortie

import "github.com/sortie-run/sortie/sdk/go/internal/guest"

// handle is what the host calls, once for each invocation: the manifest's `entry`.
//
//go:wasmexport handle
func handle() int32 { return guest.Run() }
