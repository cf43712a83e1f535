package conformance_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host/conformance"
)

// A driver of our own, in a process of this test's binary: it answers each case with its own ID, the later ones first.
func TestProcess(t *testing.T) {
	if os.Getenv("SORTIE_TEST_DRIVER") != "" {
		drive()
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), "SORTIE_TEST_DRIVER=1")
	p, err := conformance.StartProcess("ours", "node", cmd)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() {
			id := fmt.Sprint(i)
			out, err := p.Invoke(t.Context(), &conformance.Case{ID: id, Wasm: []byte{1, 2}})
			if err != nil || out.ID != id || string(out.Answers[0].Body) != "\x01\x02" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
	group.Wait()
	if _, err := p.Invoke(t.Context(), &conformance.Case{ID: "quit"}); err == nil || !strings.Contains(err.Error(), "the driver ended") {
		t.Errorf("a driver that ends: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func drive() {
	in := bufio.NewReader(os.Stdin)
	var held []string
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			os.Exit(0)
		}
		var c conformance.Case
		if err := json.Unmarshal(line, &c); err != nil || c.ID == "quit" {
			os.Exit(0)
		}
		out, err := json.Marshal(conformance.Outcome{ID: c.ID, Answers: []conformance.Answer{{Body: c.Wasm, Report: json.RawMessage("{}")}}})
		if err != nil {
			os.Exit(1)
		}
		if held = append(held, string(out)); len(held) == 2 {
			fmt.Printf("%s\n%s\n", held[1], held[0])
		}
	}
}
