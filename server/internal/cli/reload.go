package cli

import (
	"context"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// reloading has the operator's configuration read again while the server runs: when its file changes, and on SIGHUP.
type reloading struct {
	file string                             // "": there is none
	read func() (*manifest.Operator, error) // all of it: flags, environment and file
}

// configEvery is how often the file is looked at. A file that a container's platform replaces by a link is seen too.
const configEvery = time.Second

// run reloads until ctx ends.
func (r *reloading) run(ctx context.Context, s *service) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(configEvery)
	defer tick.Stop()
	last := r.stamp()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-tick.C:
			if now := r.stamp(); now == last || now == (stamp{}) { // gone for a moment, while it's replaced
				continue
			}
		}
		last = r.stamp()
		r.reload(s)
	}
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

func (r *reloading) stamp() stamp {
	if r.file == "" {
		return stamp{}
	}
	info, err := os.Stat(r.file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// reload has the configuration count from now on, or says why it can't and leaves what there is.
func (r *reloading) reload(s *service) {
	next, err := r.read()
	if err == nil {
		err = s.server.Reload(next)
	}
	if err != nil {
		s.log.Error("configuration not reloaded: what was in force stays", "err", err)
		return
	}
	attrs := []any{}
	if late := needRestart(s.operator, next); len(late) > 0 {
		attrs = append(attrs, "after_restart", strings.Join(late, ", "))
	}
	s.log.Info("configuration reloaded", attrs...)
}

// needRestart names what has changed that counts only from the next start.
func needRestart(old, next *manifest.Operator) (keys []string) {
	for _, part := range []struct {
		key      string
		old, now any
	}{
		{"addr", old.Addr, next.Addr}, {"admin_addr", old.AdminAddr, next.AdminAddr}, {"data", old.Data, next.Data}, {"tls", old.TLS, next.TLS},
		{"upstreams", old.Upstreams, next.Upstreams}, {"dns", old.DNS, next.DNS},
		{"process", old.Process, next.Process}, {"log", old.Log, next.Log},
	} {
		if !reflect.DeepEqual(part.old, part.now) {
			keys = append(keys, part.key)
		}
	}
	return keys
}
