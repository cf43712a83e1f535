package server

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sortie-run/sortie/host"
)

// TestDeploysDontBlockServing has as many modules compile without an end as may compile at once.
func TestDeploysDontBlockServing(t *testing.T) {
	t.Parallel()
	entered, let := make(chan struct{}, 100), make(chan struct{})
	s := start(t, says("hello"), options{
		store: stored(t, map[string]string{"a": "one"}),
		loads: func(src host.Source) error {
			if strings.HasPrefix(string(src.Wasm), "slow") {
				entered <- struct{}{}
				<-let
			}
			return nil
		},
	})
	var deploying sync.WaitGroup
	defer deploying.Wait()
	defer close(let)
	n := min(runtime.GOMAXPROCS(0), deploys)
	for i := range n {
		name := fmt.Sprint("slow-", i)
		deploying.Go(func() {
			a := s.send(http.MethodPut, "/v1/plugins/"+name, strings.NewReader(name), "Content-Type", "application/wasm")
			if a.StatusCode != http.StatusCreated {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
		})
	}
	for range n {
		<-entered
	}
	if a := s.get("/p/a"); a.body != "hello" {
		t.Errorf("a stored plugin, called while others compile: %d %s", a.StatusCode, a.body)
	}
}
