package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// echoes tells whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// TestSecretIsAskedFor types a secret on a terminal, which doesn't show it; interrupted, the terminal shows again what is typed.
func TestSecretIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []bool{false, true} {
		screen, terminal := pty(t)
		a := &app{stdin: terminal, stderr: terminal}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		type answer struct {
			value string
			err   error
		}
		got := make(chan answer, 1)
		go func() {
			value, err := a.secretValue(ctx, "API_KEY", "")
			got <- answer{value, err}
		}()
		var shown []byte
		for buffer := make([]byte, 256); !bytes.Contains(shown, []byte("value of API_KEY: ")); {
			n, err := screen.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, buffer[:n]...)
		}
		for echoes(t, terminal) { // it's turned off after the question
		}
		if interrupted {
			cancel()
			if a := <-got; !errors.Is(a.err, context.Canceled) || !echoes(t, terminal) {
				t.Errorf("interrupted: %+v, echo %v", a, echoes(t, terminal))
			}
			fmt.Fprint(screen, "\n") // for the read that was left behind
			continue
		}
		fmt.Fprint(screen, "hunter2\n")
		if a := <-got; a.value != "hunter2" || a.err != nil {
			t.Errorf("%+v", a)
		}
		fmt.Fprint(terminal, "end")
		for buffer := make([]byte, 256); !bytes.HasSuffix(shown, []byte("end")); {
			n, err := screen.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			shown = append(shown, buffer[:n]...)
		}
		if bytes.Contains(shown, []byte("hunter2")) || !echoes(t, terminal) {
			t.Errorf("shown: %q, echo %v", shown, echoes(t, terminal))
		}
	}
}
