package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a context that ends with the first SIGINT or SIGTERM. From then on signals have their usual effect again, so
// that a second one ends the process at once; whoever sees the context's end can rely on that. release gives everything back.
func interruptible(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case first := <-signals:
			signal.Stop(signals)
			select {
			case second := <-signals: // it came before Stop
				raise(second)
			default:
			}
			cancel(fmt.Errorf("%w by %s", context.Canceled, first))
		case <-over:
			signal.Stop(signals)
		}
	}()
	return ctx, func() {
		close(over)
		<-done
		cancel(context.Canceled)
	}
}

// raise gives this process a signal that nobody catches any more.
func raise(s os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(s) // systems without signals end a process in other ways
	}
}
