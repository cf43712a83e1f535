package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
)

// TestFollowWhileItRuns: a line is there as soon as it's logged, and once.
func TestFollowWhileItRuns(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	s := start(t, func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		for i := range 3 {
			r.OnLog(host.LogLine{Time: time.Now(), Level: "info", Message: fmt.Sprint("line", i)})
			<-seen
		}
		return &host.Response{Status: 200}, nil
	}, options{record: func(r *host.Report) {
		for _, text := range []string{"line0", "line1", "line2", "last"} { // the last one wasn't told
			r.Logs = append(r.Logs, host.LogLine{Time: time.Now(), Level: "info", Message: text})
		}
	}})
	s.deployed("a", "", "one", "")
	f := s.follow("", "")
	called := make(chan answer)
	go func() { called <- s.get("/p/a") }()
	for i := range 3 {
		if got, _ := f.messages(1); got != fmt.Sprint("line", i) {
			t.Errorf("got %q", got)
		}
		seen <- struct{}{}
	}
	if got, _ := f.messages(1); got != "last" {
		t.Errorf("got %q", got)
	}
	if report := s.reported((<-called).Response); len(report.Logs) != 4 {
		t.Errorf("report: %+v", report.Logs)
	}
	if lines := s.logs.recent("a", 100); len(lines) != 4 {
		t.Errorf("log: %+v", lines)
	}
}
