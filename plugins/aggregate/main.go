// Command aggregate is a plugin that makes one answer out of several upstream calls, described by its manifest's `config` alone.
//
// A request is matched to an endpoint by its route. The endpoint's calls are all made at once, but for those that use the answer of
// another; each URL, header and body is a template filled in from the request, from constants and from other calls' answers. What
// they answer is put together as `response` says. A call that fails leaves a gap and is named in `errors`, unless it is `required`; at
// the `deadline` the answer is what has arrived by then. README.md has the reference.
package main

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/sortie-run/sortie/plugins/internal/problem"
	sortie "github.com/sortie-run/sortie/sdk/go"
)

func init() { sortie.Handle(handle) }

func main() {}

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	var raw json.RawMessage
	if err := sortie.ConfigInto(&raw); err != nil {
		return nil, err
	}
	config, err := readConfiguration(decodeValue(raw))
	if err != nil {
		return problem.Misconfigured(err), nil
	}
	e, params, refusal := config.match(req)
	if refusal != nil {
		return refusal, nil
	}
	s := newScope(req, params, config.vars)
	for _, ref := range e.require {
		if value, ok := s.lookup(ref); !ok || value == "" || value == nil {
			return problem.Response(400, codeMissingValue, ref.text+" is required", nil), nil
		}
	}
	failed := run(ctx, e, s)
	if c := worst(e, s, failed); c != nil {
		return failure(e, s, c), nil
	}
	return answer(e, s)
}

// match finds the endpoint for a request: the first in order whose route fits. Else there is a refusal.
func (c *configuration) match(req *sortie.Request) (*endpoint, map[string]string, *sortie.Response) {
	methods := map[string]bool{}
	for _, e := range c.endpoints {
		params, ok := e.route.matchPath(req.Path)
		if !ok {
			continue
		}
		if e.route.matchMethod(req.Method) {
			return e, params, nil
		}
		methods[e.route.method] = true
	}
	if len(methods) == 0 {
		return nil, nil, problem.Response(404, "not_found", "no endpoint has this path", nil)
	}
	refusal := problem.Response(405, "method_not_allowed", "this path is not for "+req.Method, nil)
	refusal.Header.Set("allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	return nil, nil, refusal
}
