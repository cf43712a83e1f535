package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// firstWithin is how soon after its start a server has to have answered with one of its plugins, in seconds.
	firstWithin = 1.0
	// allWithin is how soon all of them have to have answered once they are asked, in seconds.
	allWithin = 10.0
)

// restartSeen is what came of it.
type restartSeen struct {
	Machine  string    `json:"machine"`
	Plugins  int       `json:"plugins"`
	Bytes    int       `json:"bytes"`  // of each plugin
	Deploy   float64   `json:"deploy"` // seconds until all were deployed
	First    []float64 `json:"first"`  // seconds from each start to the first answer of a plugin
	All      []float64 `json:"all"`    // and from the requests to the others, all at once, to the last answer
	RSS      []int64   `json:"rss"`    // bytes then
	Failures []string  `json:"failures"`
}

// restart deploys many plugins whose code differs, starts the server anew, and measures how soon they answer; and fails if it's too late.
func restart(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench restart", flag.ContinueOnError)
	plugins := flags.Int("plugins", 100, "how many, from 2 to 1000")
	times := flags.Int("times", 3, "how often the server is started anew")
	program := flags.String("sortie", "", sortieUsage)
	file := flags.String("json", "", "write everything measured to `FILE` as JSON")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if *plugins < 2 || *plugins > 1000 || *times < 1 {
		return usageError{errors.New("--plugins is from 2 to 1000, --times from 1")}
	}
	w, err := newWorkshop(*program, stderr)
	if err != nil {
		return err
	}
	defer w.close()
	seen, err := (&restarts{workshop: w, plugins: *plugins}).run(ctx, *times)
	if err != nil {
		return err
	}
	if err := writeJSON(*file, seen); err != nil {
		return err
	}
	return seen.write(stdout)
}

// restarts is a server that is started several times, with the same plugins.
type restarts struct {
	*workshop
	plugins int
}

func (r *restarts) run(ctx context.Context, times int) (*restartSeen, error) {
	if _, err := prepareSortie(ctx, r.workshop); err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(filepath.Join(r.dir, "plugin.wasm"))
	if err != nil {
		return nil, err
	}
	seen := &restartSeen{Machine: newReport().machine(), Plugins: r.plugins, Bytes: len(wasm)}
	r.say("deploying %d plugins", r.plugins)
	began := time.Now()
	if err := r.deploy(ctx, wasm); err != nil {
		return nil, err
	}
	seen.Deploy = time.Since(began).Seconds()
	for range times {
		if err := r.again(ctx, seen); err != nil {
			return nil, err
		}
	}
	seen.judge()
	return seen, nil
}

// deploy deploys them all to a server, and ends it.
func (r *restarts) deploy(ctx context.Context, wasm []byte) error {
	t, err := launchSortie(ctx, r.workshop, r.temp)
	if err != nil {
		return err
	}
	defer t.stop()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i := range r.plugins {
		g.Go(func() error {
			other, err := variant(wasm, i)
			if err != nil {
				return err
			}
			return deployAs(ctx, r.workshop, t, nameOf(i), other)
		})
	}
	return g.Wait()
}

// again starts the server once more and asks its plugins.
func (r *restarts) again(ctx context.Context, seen *restartSeen) error {
	began := time.Now()
	t, err := launchSortie(ctx, r.workshop, r.temp)
	if err != nil {
		return err
	}
	defer t.stop()
	if err := r.ask(ctx, t, 0); err != nil {
		return err
	}
	first := time.Since(began).Seconds()
	began = time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := 1; i < r.plugins; i++ {
		g.Go(func() error { return r.ask(ctx, t, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	all := time.Since(began).Seconds()
	used, err := memoryOf(t.pid())
	if err != nil {
		return err
	}
	r.say("the first answer after %.2f s, the other %d after %.2f s", first, r.plugins-1, all)
	seen.First, seen.All, seen.RSS = append(seen.First, first), append(seen.All, all), append(seen.RSS, used.Rss)
	return t.ended()
}

// ask has a plugin tell which one it is.
func (r *restarts) ask(ctx context.Context, t *target, i int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.root+"/p/"+nameOf(i)+"/which", nil)
	if err != nil {
		return err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var got struct {
		Which uint64 `json:"which"`
	}
	if err := json.Unmarshal(body, &got); response.StatusCode != http.StatusOK || err != nil || got.Which != marker+uint64(i) {
		return fmt.Errorf("plugin %s answered %s: %s", nameOf(i), response.Status, bytes.TrimSpace(body))
	}
	return nil
}

func nameOf(i int) string { return fmt.Sprintf("bench-%03d", i) }

// marker is the constant that plugin/main.go has for bench restart.
const marker = 0x5AFE_0000_0C0D_E000

// variant is the module with another constant in its code, so that neither what was compiled nor what was rewritten for one is of use to another.
func variant(wasm []byte, i int) ([]byte, error) {
	const i64Const = 0x42
	constant := func(v int64) []byte { return appendSigned([]byte{i64Const}, v) }
	from, to := constant(marker), constant(marker+int64(i))
	if bytes.Count(wasm, from) != 1 || len(from) != len(to) {
		return nil, fmt.Errorf("plugin.wasm has the constant %#x %d times, not once: is plugin/main.go's function which as it was?", marker, bytes.Count(wasm, from))
	}
	return bytes.Replace(wasm, from, to, 1), nil
}

// appendSigned appends v as a signed LEB128 (WebAssembly Core 2.0, section 5.2.2).
func appendSigned(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func (s *restartSeen) judge() {
	for _, l := range []struct {
		what   string
		median float64
		within float64
	}{{"the first answer", median(s.First), firstWithin}, {"all answers", median(s.All), allWithin}} {
		if l.median > l.within {
			s.Failures = append(s.Failures, fmt.Sprintf("%s after %.2f s, not %g s", l.what, l.median, l.within))
		}
	}
}

func (s *restartSeen) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%d plugins of %.2f MB with different code (%s), deployed in %.1f s\n", s.Plugins, float64(s.Bytes)/1e6, s.Machine, s.Deploy)
	for i := range s.First {
		fmt.Fprintf(w, "restart %d: the first answer %.2f s after the start, the other %d within %.2f s; resident %.0f MiB\n",
			i+1, s.First[i], s.Plugins-1, s.All[i], float64(s.RSS[i])/(1<<20))
	}
	fmt.Fprintf(w, "medians: first %.2f s (at most %g s), all %.2f s (at most %g s)\n", median(s.First), firstWithin, median(s.All), allWithin)
	if len(s.Failures) > 0 {
		return fmt.Errorf("restart: %s", s.Failures[0])
	}
	_, err := fmt.Fprintln(w, "restart: passed")
	return err
}
