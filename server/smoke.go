package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host"
)

// smoke has a version answer the request that its manifest wants answered before it takes traffic. It's an invocation like any other, with
// its limits, fetches, quota and report, but for the time that all of it may take; the report is nil if the manifest wants none.
func (r *registry) smoke(ctx context.Context, v *version, g guest, t *terms) (*host.Report, error) {
	want, name, number := t.manifest.Smoke, v.plugin, v.stored.Number
	if want == nil {
		return nil, nil
	}
	if err := r.asked(name, t); err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(want.Path, "?")
	header := make(http.Header, len(want.Headers))
	for field, value := range want.Headers {
		header.Set(field, value)
	}
	inTime, cancel := context.WithTimeout(ctx, smokeTime)
	defer cancel()
	response, report, err := g.Invoke(inTime, &host.Request{
		ID: host.NewID(), Method: want.Method, Path: path, RawQuery: query, Host: smokeHost, Header: header, Body: []byte(want.Body),
		Arrived: time.Now(),
	})
	why := ""
	switch {
	case err != nil && ctx.Err() != nil:
		return report, context.Cause(ctx)
	case err != nil && inTime.Err() != nil:
		why = fmt.Sprintf("wasn't answered within %s", smokeTime)
	case err != nil:
		why = "failed with " + failure(err).Code + ": " + failure(err).Detail
	case !want.Passes(response.Status):
		why = fmt.Sprintf("was answered with %d, not with %s", response.Status, cmp.Or(wanted(want.Status), "a status below 400"))
	default:
		return report, nil
	}
	return report, host.NewError(codeConflict, "The smoke request of version %d of plugin %q (%s %s) %s. The version takes no traffic from it; "+
		"to look at it, send Sortie-Version: %d, or read the report of the invocation %s.", number, name, want.Method, want.Path, why, number, report.ID)
}

func wanted(status int) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(status)
}

// smokeHost is the host that a smoke request is for: no caller's.
const smokeHost = "smoke.invalid"
