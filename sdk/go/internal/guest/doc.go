// Package guest is the host's side seen from inside a Wasm guest: the functions of `sortie:host/v1` (host/ABI.md), and the one goroutine that
// waits for what they started. It is empty for other targets than wasip1.
//
// A blocking host function would stop every goroutine, so none is used. `send` and `group` only start fetches, and `read` and `write` move what
// can be moved now. Whoever waits blocks on a channel like any goroutine; a pump reads the event descriptor, which yields the handles that have
// settled or may go on, and closes their channels. When all goroutines are blocked, Go's runtime calls poll_oneoff with its next timer and
// that descriptor, and the host returns from there when either is due. So timers, fetches, streams and cancellation go on side by
// side, and nothing polls.
package guest
