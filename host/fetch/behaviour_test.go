package fetch_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/fetchtest"
)

// TestBehaviour holds the engine to the table of fetchtest, by each way of calling it.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	for _, by := range []struct {
		target fetchtest.Target
		over   []string // nil: all wires
	}{
		{fetchtest.Target{Name: "Do"}, nil},
		{fetchtest.Target{Name: "Start"}, []string{"HTTP/1.1"}},
		{fetchtest.Target{Name: "Group"}, []string{"HTTP/1.1", "HTTP/2"}},
		{fetchtest.Target{Name: "Stream", Streams: true}, []string{"HTTP/1.1", "HTTP/2"}},
	} {
		target := by.target
		target.Run = func(ctx context.Context, t testing.TB, setting fetchtest.Setting, steps []fetchtest.Step) fetchtest.Outcome {
			return behave(ctx, t, target, setting, steps)
		}
		t.Run(target.Name, func(t *testing.T) {
			t.Parallel()
			fetchtest.Run(t, target, by.over...)
		})
	}
}

func behave(ctx context.Context, t testing.TB, target fetchtest.Target, setting fetchtest.Setting, steps []fetchtest.Step) (out fetchtest.Outcome) {
	p, err := fetch.PolicyOf(setting.Manifest, setting.Operator, setting.Secrets)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, setting.Engine, p)
	for _, step := range steps {
		for _, r := range step.Requests {
			r.Stream = target.Streams
		}
		var results []fetch.Result
		switch one := step.Requests[0]; {
		case !step.Single || target.Name == "Group":
			results = b.session.Group(ctx, &step.Group)
		case target.Name == "Start":
			settled := make(chan fetch.Result, 1)
			b.session.Start(one, func(r fetch.Result) { settled <- r })
			results = []fetch.Result{<-settled}
		default:
			results = []fetch.Result{b.session.Do(ctx, one)}
		}
		for i := range results {
			read(&results[i])
		}
		out.Results = append(out.Results, results)
	}
	b.session.Close()
	out.Usage, out.Records = b.session.Usage(), b.session.Records()
	// At once, but for a revalidation that nobody waits for.
	eventually(t, "all slots given back", func() bool { return b.engine.SlotsInUse() == 0 })
	return out
}

// read reads a streamed body; where that fails, the fetch did.
func read(r *fetch.Result) {
	resp := r.Response
	if r.Err != nil {
		resp = r.Err.Response
	}
	if resp == nil || resp.BodyReader == nil {
		return
	}
	body, err := io.ReadAll(resp.BodyReader)
	resp.Body = body
	if fail, ok := errors.AsType[*fetch.Error](err); ok {
		*r = fetch.Result{State: fetch.Rejected, Err: fail}
	}
}
