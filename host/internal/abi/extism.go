package abi

import (
	"log/slog"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Blocks are Extism's memory blocks, as a raw plugin and its host exchange them.
type Blocks interface {
	// Read copies the block at an offset; it is empty for offset 0 and for one that is no block.
	Read(offset uint64) []byte
	// Write makes a block; ok is false if it doesn't fit the plugin's memory. An empty one is offset 0.
	Write(data []byte) (offset uint64, ok bool)
	// Free gives a block back.
	Free(offset uint64)
	// Alloc makes a block of n bytes for the guest to write to.
	Alloc(n uint64) (offset uint64, ok bool)
	// Store writes into a block.
	Store(offset uint64, b []byte) bool
}

// ExtismFunc is a host function for raw plugins.
type ExtismFunc struct {
	Name            string
	Params, Results []byte // value types
	Do              func(c *guest.Call, blocks Blocks, stack []uint64)
}

// Modules that raw plugins import from.
const (
	ExtismEnv  = "extism:host/env"
	ExtismUser = "extism:host/user"
	// ExtismOurs is where the imports of Replaced are redirected to: functions of ExtismEnv that Sortie answers itself.
	ExtismOurs = "sortie:extism"
)

// UserFunctions are those of ExtismUser.
func UserFunctions() []ExtismFunc {
	return []ExtismFunc{
		{Name: "fetch_all", Params: []byte{guest.I64}, Results: []byte{guest.I64}, Do: fetchAll},
	}
}

// Replaced are those of ExtismEnv that Sortie answers itself: HTTP goes through the policy, log lines into the invocation's log
// whatever the process-wide level of the Extism SDK is, and configuration and variables because the SDK's own can't be stopped. See
// host/RATIONALE.md, "Which of Extism's functions are ours?".
func Replaced() []ExtismFunc {
	i32, i64 := guest.I32, guest.I64
	out := []ExtismFunc{
		{Name: "http_request", Params: []byte{i64, i64}, Results: []byte{i64}, Do: httpRequest},
		{Name: "http_status_code", Results: []byte{i32}, Do: httpStatusCode},
		{Name: "http_headers", Results: []byte{i64}, Do: httpHeaders},
		{Name: "get_log_level", Results: []byte{i32}, Do: getLogLevel},
		{Name: "config_get", Params: []byte{i64}, Results: []byte{i64}, Do: configGet},
		{Name: "var_get", Params: []byte{i64}, Results: []byte{i64}, Do: varGet},
		{Name: "var_set", Params: []byte{i64, i64}, Do: varSet},
		{Name: "alloc", Params: []byte{i64}, Results: []byte{i64}, Do: extismAlloc},
		{Name: "free", Params: []byte{i64}, Do: extismFree},
		{Name: "reset", Do: extismReset},
		{Name: "store_u8", Params: []byte{i64, i32}, Do: storeU8},
		{Name: "store_u64", Params: []byte{i64, i64}, Do: storeU64},
	}
	for name, level := range map[string]slog.Level{
		"log_trace": slog.LevelDebug - 4, "log_debug": slog.LevelDebug, "log_info": slog.LevelInfo, "log_warn": slog.LevelWarn,
		"log_error": slog.LevelError,
	} {
		out = append(out, ExtismFunc{Name: name, Params: []byte{i64}, Do: extismLog(level)})
	}
	return out
}

// extismLog: stack [block] -> []
func extismLog(level slog.Level) func(*guest.Call, Blocks, []uint64) {
	return func(c *guest.Call, blocks Blocks, stack []uint64) {
		message := blocks.Read(stack[0])
		c.Log.Add(level, string(message[:min(len(message), maxLog)]))
		blocks.Free(stack[0])
	}
}

// getLogLevel: stack [] -> the lowest level worth sending, debug as Extism numbers it.
func getLogLevel(_ *guest.Call, _ Blocks, stack []uint64) { stack[0] = 1 }
