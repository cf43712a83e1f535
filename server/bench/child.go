package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of the comparison. It ends with the harness, however that ends.
type child struct {
	name string
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
	err  error         // why, once done is closed
}

// command is how a child is started.
type command struct {
	name string
	args []string // the program first
	dir  string   // its working directory; "": the harness's
	env  []string // added to the harness's
}

// spawn starts a child and keeps what it prints. stop must be called in the end; the end of ctx kills it as well.
func spawn(ctx context.Context, c command) (*child, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	cmd.SysProcAttr = childAttr() // a group of its own: ^C is the harness's to handle
	cmd.Cancel = func() error { return signalGroup(cmd.Process, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	p := &child{name: c.name, cmd: cmd, out: &output{grown: make(chan struct{}, 1)}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if _, err := cmd.StdinPipe(); err != nil { // Wait closes it; our own programs end when it closes
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// stop ends the child and whatever it started, and waits for that.
func (p *child) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = signalGroup(p.cmd.Process, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = signalGroup(p.cmd.Process, syscall.SIGKILL)
		<-p.done
	}
}

// ended is the error of a child that has ended though it shouldn't have; nil while it runs.
func (p *child) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%w): %s", p.name, cause(p.err), p.out.tail())
	default:
		return nil
	}
}

func cause(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// announced waits for the line that says where the child listens, and returns the base of its URLs.
func (p *child) announced(ctx context.Context) (string, error) {
	const line = "listening on "
	for {
		text := p.out.String()
		if _, after, ok := strings.Cut(text, line); ok {
			if url, _, ok := strings.Cut(after, "\n"); ok {
				return strings.TrimSpace(url), nil
			}
		}
		select {
		case <-p.out.grown:
		case <-p.done:
			return "", p.ended()
		case <-ctx.Done():
			return "", fmt.Errorf("%s: %w: %s", p.name, context.Cause(ctx), p.out.tail())
		}
	}
}

// printed is all that it printed, from the beginning on.
func (p *child) printed() []byte { return []byte(p.out.String()) }

// output keeps the beginning and the end of what a child prints.
type output struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	const kept = 64 << 10
	o.mu.Lock()
	if o.text = append(o.text, p...); len(o.text) > 2*kept {
		o.text = append(o.text[:kept/2], o.text[len(o.text)-kept/2:]...)
	}
	o.mu.Unlock()
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// tail is the end of it on one line.
func (o *output) tail() string {
	text := strings.TrimSpace(o.String())
	if len(text) > 400 {
		text = "… " + text[len(text)-400:]
	}
	return strings.ReplaceAll(text, "\n", " | ")
}

// freeAddr is a loopback address that nobody listened on just now, for programs that can't say which port they were given.
func freeAddr(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
