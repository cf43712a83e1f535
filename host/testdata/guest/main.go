// Command guest is the plugin that the host's tests run: well-behaved and hostile by turns, as the path says.
package main

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/sortie-run/sortie/sdk/go"
)

func main() {}

func init() { sortie.Handle(handle) }

var calls int

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	q := req.Query()
	switch req.Path {
	case "/echo":
		h := sortie.Header{}
		h.Set("Content-Type", "text/plain")
		h.Set("Sortie-Forged", "1")
		h.Set("X-Seen", fmt.Sprint(len(req.Header), " ", req.Header.Get("Sortie-Secret"), req.Header.Get("X-In")))
		return &sortie.Response{Status: 201, Header: h, Body: append([]byte(req.Method+" "+req.Host+" "+q.Get("a")+" "), req.Body...)}, nil
	case "/abandon": // what is in flight
		return abandon(ctx, q.Get("url"))
	case "/errgroup":
		return errors3(ctx, q.Get("url"))
	case "/same":
		return &sortie.Response{Body: req.Body}, nil
	case "/plant":
		return plant(binary.LittleEndian.Uint64(req.Body))
	case "/search":
		return search(req.Body)
	case "/json":
		return transcode(req.Body)
	case "/random":
		return randoms()
	case "/leave": // something that runs on
		calls++
		time.AfterFunc(time.Hour, func() { calls++ })
		return sortie.Text("left"), nil
	case "/leave-goroutine":
		calls++
		go func() { <-wait }()
		return sortie.Text("left"), nil
	case "/state":
		calls++
		return sortie.Text(strconv.Itoa(calls)), nil
	case "/fetch":
		return fetch(ctx, q)
	case "/tell": // what an upstream says, in all the ways there are
		resp, err := sortie.Get(ctx, q.Get("url"))
		if err != nil {
			return nil, err
		}
		sortie.Log.Warn("it says " + resp.Text())
		fmt.Println("it says", resp.Text())
		_, err = sortie.Get(ctx, q.Get("url")+"&"+resp.Text())
		return nil, fmt.Errorf("it says %s: %v", resp.Text(), err)
	case "/group":
		return group(ctx, q)
	case "/goroutines":
		return goroutines(ctx, q)
	case "/timer":
		return timer(ctx, q)
	case "/sleep":
		d, _ := time.ParseDuration(q.Get("for"))
		time.Sleep(d)
		return sortie.Text("slept"), nil
	case "/hold":
		held := make([]byte, 64<<20)
		for i := 0; i < len(held); i += 4096 {
			held[i] = 1
		}
		time.Sleep(time.Minute)
		return sortie.Text(string(held[:1])), nil
	case "/clock":
		var b [16]byte
		_, _ = crand.Read(b[:])
		return sortie.JSON(200, map[string]any{"unix": time.Now().Unix(), "random": hex.EncodeToString(b[:])}), nil
	case "/config":
		v, ok := sortie.Config(q.Get("key"))
		return sortie.Text(fmt.Sprint(v, " ", ok)), nil
	case "/log":
		sortie.Log.Info("hello", "n", 1)
		sortie.Log.Error("bad")
		fmt.Println("printed")
		fmt.Fprint(os.Stderr, "half a line")
		return sortie.Text("logged"), nil
	case "/bytes":
		n, _ := strconv.Atoi(q.Get("n"))
		return &sortie.Response{Body: make([]byte, n)}, nil
	case "/records": // what Go's runtime keeps of finalizers: in no heap
		n, _ := strconv.Atoi(q.Get("n"))
		for range n {
			runtime.SetFinalizer(new([16]byte), func(*[16]byte) {})
		}
		return sortie.Text("made"), nil
	case "/spans": // objects of many sizes, of which the runtime keeps lists: in no heap either
		for size := 16; size <= 1024; size += 16 {
			for range 3 * 8192 / size {
				object = make([]byte, size)
			}
		}
		return sortie.Text("made"), nil
	default:
		return hostile(req.Path)
	}
}

var object []byte

// fetch answers what became of one fetch, by its error's code.
func fetch(ctx context.Context, q url.Values) (*sortie.Response, error) {
	resp, err := sortie.Get(ctx, q.Get("url"))
	return answer(resp, err)
}

func answer(resp *sortie.Response, err error) (*sortie.Response, error) {
	out := map[string]any{}
	if e, ok := errors.AsType[*sortie.Error](err); ok {
		out["code"], out["message"] = e.Code, e.Message
	} else if err != nil {
		out["code"], out["message"] = "untyped", err.Error()
	} else {
		out["status"], out["length"] = resp.Status, len(resp.Body)
	}
	return sortie.JSON(200, out), nil
}

// group fetches n numbered URLs and answers each one's outcome, in order.
func group(ctx context.Context, q url.Values) (*sortie.Response, error) {
	n, _ := strconv.Atoi(q.Get("n"))
	c, _ := strconv.Atoi(q.Get("concurrency"))
	var reqs []*sortie.Request
	for i := range n {
		reqs = append(reqs, &sortie.Request{URL: q.Get("url") + strconv.Itoa(i)})
	}
	var opts []sortie.Option
	if c > 0 {
		opts = append(opts, sortie.WithConcurrency(c))
	}
	switch q.Get("mode") {
	case "any":
		return answer(sortie.Any(ctx, reqs, opts...))
	case "race":
		r := sortie.Race(ctx, reqs, opts...)
		return answer(r.Response, r.Err)
	case "as_completed":
		var order []int
		for i := range sortie.AsCompleted(ctx, reqs, opts...) {
			order = append(order, i)
		}
		return sortie.JSON(200, order), nil
	}
	var out []string
	for _, r := range sortie.AllSettled(ctx, reqs, opts...) {
		if e, ok := errors.AsType[*sortie.Error](r.Err); ok {
			out = append(out, r.State.String()+" "+string(e.Code))
		} else {
			out = append(out, r.State.String()+" "+string(r.Response.Body))
		}
	}
	return sortie.JSON(200, out), nil
}

// goroutines fetches with plain goroutines.
func goroutines(ctx context.Context, q url.Values) (*sortie.Response, error) {
	n, _ := strconv.Atoi(q.Get("n"))
	var wg sync.WaitGroup
	out := make([]string, n)
	for i := range n {
		wg.Go(func() {
			resp, err := sortie.Get(ctx, q.Get("url")+strconv.Itoa(i))
			if err != nil {
				out[i] = err.Error()
				return
			}
			out[i] = resp.Text()
		})
	}
	wg.Wait()
	return sortie.JSON(200, out), nil
}

// timer tells what comes first, a timer or a fetch; then cancels the fetch.
func timer(ctx context.Context, q url.Values) (*sortie.Response, error) {
	after := 300 * time.Millisecond
	if d, err := time.ParseDuration(q.Get("after")); err == nil {
		after = d
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := sortie.Get(ctx, q.Get("url"))
		done <- err
	}()
	select {
	case <-done:
		return sortie.Text("fetch"), nil
	case <-time.After(after):
		cancel()
		err := <-done
		return sortie.Text(fmt.Sprint("timer ", errors.Is(err, context.Canceled))), nil
	}
}

// abandon returns while a fetch, a group and a stream are in flight.
func abandon(ctx context.Context, url string) (*sortie.Response, error) {
	resp, err := sortie.Get(ctx, url+"stream", sortie.WithStream())
	if err != nil {
		return nil, err
	}
	began := make(chan struct{}, 2)
	go func() { began <- struct{}{}; _, _ = sortie.Get(ctx, url+"one") }()
	go func() {
		began <- struct{}{}
		sortie.AllSettled(ctx, []*sortie.Request{{URL: url + "two"}, {URL: url + "three"}})
	}()
	<-began
	<-began
	_, err = resp.BodyReader.Read(make([]byte, 1)) // comes when all have arrived
	return sortie.Text("left"), err
}

// errors3 is what errgroup does: the first error of three goroutines cancels the others' context, and all are waited for.
func errors3(ctx context.Context, url string) (*sortie.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			opts := []sortie.Option{}
			if i == 0 {
				opts = append(opts, sortie.WithExpect("2xx"))
			}
			if _, errs[i] = sortie.Get(ctx, url+strconv.Itoa(i), opts...); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	var said []string
	for _, err := range errs {
		e, _ := errors.AsType[*sortie.Error](err)
		said = append(said, fmt.Sprint(e.Code, " ", errors.Is(err, context.Canceled), " ", errors.Is(context.Cause(ctx), errs[0])))
	}
	return sortie.JSON(200, said), nil
}

func hostile(path string) (*sortie.Response, error) {
	switch path {
	case "/loop":
		for {
			spin++
		}
	case "/recurse":
		return sortie.Text(strconv.Itoa(recurse(1))), nil
	case "/allocate":
		var hold [][]byte
		for {
			hold = append(hold, make([]byte, 1<<20))
			runtime.KeepAlive(hold)
		}
	case "/panic":
		panic("at the disco")
	case "/panic-elsewhere":
		go panic("in a goroutine")
		time.Sleep(time.Minute)
	case "/exit":
		os.Exit(3)
	case "/exit-as-if-stopped":
		os.Exit(-1)
	case "/error":
		return nil, errors.New("no luck")
	case "/deadlock":
		<-make(chan int)
	case "/print":
		for {
			fmt.Println("all work and no play makes a long log")
			if spin++; spin > 1e5 {
				return sortie.Text("printed"), nil
			}
		}
	}
	return &sortie.Response{Status: 404}, nil
}

var spin int

//go:noinline
func recurse(n int) int {
	var pad [64]int
	pad[n%64] = n
	return recurse(n+1) + pad[(n+1)%64]
}
