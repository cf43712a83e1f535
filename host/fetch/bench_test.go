package fetch_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// benchUpstream is the upstream of the benchmarks, in a process of its own so that its work isn't measured. It prints its address and
// ends with its standard input.
func benchUpstream(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("http://" + l.Addr().String())
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"price":12.5,"currency":"EUR","stock":[1,2,3]}`)
	}))
	io.Copy(io.Discard, os.Stdin)
}

func startUpstream(b *testing.B) string {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FETCH_BENCH_UPSTREAM=127.0.0.1:0")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// measureCPU reports the process's CPU time for each fetch, the upstream's not included; the function it returns ends the measuring.
func measureCPU(b *testing.B) func() {
	start := cpuTime()
	return func() { b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkSmallFetch is one small GET after another, by the engine and by a bare http.Client that reads the body.
func BenchmarkSmallFetch(b *testing.B) {
	url := startUpstream(b)
	b.Run("engine", func(b *testing.B) {
		s := open(b, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests, l.TotalBytes = 1<<40, 1<<50 })).session
		request := &fetch.Request{URL: url}
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			if r := s.Do(context.Background(), request); r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
		defer client.CloseIdleConnections()
		b.ReportAllocs()
		defer measureCPU(b)()
		for b.Loop() {
			resp, err := client.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}
