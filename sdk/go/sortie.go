// Package sortie is for writing Sortie's plugins in Go: functions that get an HTTP request, call other HTTP APIs, and answer. A plugin
// compiles to WebAssembly; only the host has a network, and fetches within the limits of the plugin's manifest.
//
//	func init() { sortie.Handle(handle) }
//
//	func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
//		resp, err := sortie.Get(ctx, "https://api.example.com/prices", sortie.WithTimeout(time.Second))
//		if err != nil {
//			return nil, err
//		}
//		return sortie.Text("it said: " + resp.Text()), nil
//	}
//
//	func main() {}
//
// Bodies are whole, unless asked for in pieces: [WithStream] for a response, [Request.BodyReader] for what is sent, [Stream] for the answer, and
// [HandleStream] for the request that is served.
//
// [Get], [Post] and [Fetch] make one fetch; goroutines that call them overlap. [All], [AllSettled], [Any], [Race], [Quorum] and [AsCompleted] make
// many, which the host runs concurrently. A context's deadline and cancellation reach the host. Options such as [WithTimeout] are for a call or, by
// [Request.With], for one request.
//
// What goes wrong with a fetch is a value, an [*Error], never the end of the plugin. See [ErrInvalid] for the classes of its codes.
//
// Everything but [Warmup] works while an invocation runs: in Sortie, or in `go test` by package sortietest. Elsewhere it fails and says so.
package sortie

import (
	"context"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Handle registers the plugin's handler. Call it in an init function; a later call replaces the former.
//
// ctx ends with the invocation: at its limit, when the handler returns, or if its answer has a BodyReader, when that has been read; whatever is in
// flight then is cancelled. An error, a panic, or neither response nor error fails the invocation as plugin_error; the stack of a panic is
// in the log. A request answered with an error of one's own is a response: see [Response].
//
// The limit is the manifest's wall until the answer begins, and from there on its stream. ctx.Deadline tells the one that runs.
func Handle(handler func(ctx context.Context, req *Request) (*Response, error)) {
	register("sortie.Handle", handler, false)
}

// HandleStream registers a handler that begins as soon as the request's head is here, and reads the body, as it arrives, from the
// request's BodyReader; else it is as Handle. Call it in an init function: it is then that the host is asked for such requests.
//
// It is for bodies that are larger than the plugin wants to hold, that are passed on as they come, or that decide early whether they are wanted at
// all. Otherwise Handle is better: the plugin doesn't start, and takes no slot, before a slow client has sent everything. The wall limit runs while
// the body is waited for. What isn't read stays with the client; a body over the manifest's input limit fails the invocation.
func HandleStream(handler func(ctx context.Context, req *Request) (*Response, error)) {
	register("sortie.HandleStream", handler, true)
	streamRequest()
}

func register(name string, handler func(context.Context, *Request) (*Response, error), streams bool) {
	if handler == nil {
		panic(name + ": the handler is nil")
	}
	host.SetEntry(func(ctx context.Context, h host.Host, in *host.Inbound) (*host.Outbound, error) {
		return invoke(ctx, h, in, handler)
	}, streams)
}

// Warmup registers f, to be run once before the plugin serves its first request: a place to fill caches, compile regular expressions, build
// tables, and use once what every request uses. Call it in an init function. Each invocation begins with the memory as it is afterwards, so
// what f does is paid for once. It is outside any invocation: fetches are refused and there is no config. If it leaves goroutines or timers
// behind, the host doesn't use what it did, and says so in its log. In go test it runs at once.
func Warmup(f func()) { warmup(f) }
