package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
)

// Process is a host in a process of its own, which reads cases from its standard input, a line of JSON each, and writes as many outcomes to its
// standard output, in any order; see README.md. What it writes to its standard error is its own.
type Process struct {
	name, host string
	cmd        *exec.Cmd
	in         io.WriteCloser
	writing    sync.Mutex

	mu      sync.Mutex
	waiting map[string]chan<- *Outcome
	ended   chan struct{} // closed when there is no more output
	why     error         // to be read after ended
}

// StartProcess starts a command as a host of that kind. It is the caller's to close.
func StartProcess(name, host string, cmd *exec.Cmd) (*Process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{name: name, host: host, cmd: cmd, in: in, waiting: map[string]chan<- *Outcome{}, ended: make(chan struct{})}
	go p.read(out)
	return p, nil
}

// Name implements Target.
func (p *Process) Name() string { return p.name }

// Host implements Target.
func (p *Process) Host() string { return p.host }

// Invoke implements Target. Several cases of the same ID can't be under way at once.
func (p *Process) Invoke(ctx context.Context, c *Case) (*Outcome, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	got := make(chan *Outcome, 1)
	p.mu.Lock()
	p.waiting[c.ID] = got
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, c.ID)
		p.mu.Unlock()
	}()
	p.writing.Lock()
	_, err = p.in.Write(append(line, '\n'))
	p.writing.Unlock()
	if err != nil {
		return nil, fmt.Errorf("the driver takes no cases: %w", err)
	}
	select {
	case out := <-got:
		return out, nil
	case <-p.ended:
		return nil, fmt.Errorf("the driver ended: %w", p.why)
	case <-ctx.Done():
		return nil, fmt.Errorf("no outcome: %w", ctx.Err())
	}
}

func (p *Process) read(from io.Reader) {
	defer close(p.ended)
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			p.why = err
			return
		}
		out := &Outcome{}
		if err := json.Unmarshal(line, out); err != nil {
			p.why = fmt.Errorf("%.200q is no outcome: %w", line, err)
			return
		}
		p.mu.Lock()
		got := p.waiting[out.ID]
		p.mu.Unlock()
		if got == nil {
			continue // nobody waits for it any more
		}
		select {
		case got <- out:
		default:
		}
	}
}

// Close ends the process: by closing its standard input, upon which a driver ends by itself.
func (p *Process) Close() error {
	err := p.in.Close()
	<-p.ended
	return errors.Join(err, p.cmd.Wait())
}
