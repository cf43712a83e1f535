package fetch_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

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

// BenchmarkSmallFetch is one small GET after another, by the engine and by a bare http.Client that reads the body, and both in turn: what their
// ratio is worth on a machine that others use too. The upstream's CPU time isn't measured.
func BenchmarkSmallFetch(b *testing.B) {
	url := startUpstream(b)
	s := open(b, fetch.Config{}, withLimits(func(l *manifest.FetchLimits) { l.Requests, l.TotalBytes = 1<<40, 1<<50 }))
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	b.Cleanup(client.CloseIdleConnections)
	request := &fetch.Request{URL: url}
	engine := func() {
		if r := s.do(request); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
	bare := func() {
		resp, err := client.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	b.Run("engine", func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime()
		for b.Loop() {
			engine()
		}
		b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime()
		for b.Loop() {
			bare()
		}
		b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
	})
	b.Run("ratio", func(b *testing.B) {
		const turn = 100
		measure := func(one func()) (cpu, wall time.Duration) {
			used, start := cpuTime(), time.Now()
			for range turn {
				one()
			}
			return cpuTime() - used, time.Since(start)
		}
		var cpu, wall []float64
		for b.Loop() {
			ec, ew := measure(engine)
			bc, bw := measure(bare)
			cpu, wall = append(cpu, float64(ec)/float64(bc)), append(wall, float64(ew)/float64(bw))
		}
		slices.Sort(cpu)
		slices.Sort(wall)
		b.ReportMetric(cpu[len(cpu)/2], "cpu-ratio")
		b.ReportMetric(wall[len(wall)/2], "wall-ratio")
	})
}
