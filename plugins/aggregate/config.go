package main

import (
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

// Bounds of the configuration. A deadline beyond the manifest's wall limit has no effect: the invocation ends before.
const (
	defaultDeadline = 10 * time.Second
	maxDuration     = time.Hour
	maxAttempts     = 100
)

// configuration is the manifest's `config`, read and checked.
type configuration struct {
	vars      map[string]any
	endpoints []*endpoint
}

// endpoint is one aggregation: the requests it answers, the calls it makes for them, the answer it makes of those.
type endpoint struct {
	route    route
	deadline time.Duration
	require  []*reference
	calls    []*call // by name
	response structure
	status   int
	headers  map[string]template
}

var endpointKeys = []string{"route", "deadline", "require", "calls", "response", "status", "headers"}

// readConfiguration takes the decoded `config`: `vars`, and either the keys of one endpoint or a list of `endpoints`. The error is
// settings.Problems.
func readConfiguration(raw any) (*configuration, error) {
	root := settings.New(raw)
	keys := append([]string{"vars", "endpoints"}, endpointKeys...)
	fields := root.Object(keys...)
	c := &configuration{vars: map[string]any{}}
	for _, entry := range fields["vars"].Entries() {
		if !isName(entry.Name) {
			entry.Fail("isn't a name: letters, digits, _ and -, beginning with a letter")
		}
		c.vars[entry.Name] = entry.Raw()
	}
	if !fields["endpoints"].Set() {
		c.endpoints = []*endpoint{c.readEndpoint(root, fields)}
		return c, root.Err()
	}
	for _, key := range endpointKeys {
		if fields[key].Set() && key != "deadline" {
			fields[key].Fail("stands beside endpoints; it belongs into one of them")
		}
	}
	for _, v := range fields["endpoints"].List() {
		inner := v.Object(endpointKeys...)
		if !inner["deadline"].Set() {
			inner["deadline"] = fields["deadline"]
		}
		c.endpoints = append(c.endpoints, c.readEndpoint(v, inner))
	}
	if len(c.endpoints) == 0 {
		fields["endpoints"].Fail("is empty")
	}
	return c, root.Err()
}

func (c *configuration) readEndpoint(v settings.Value, fields map[string]settings.Value) *endpoint {
	e := &endpoint{
		deadline: fields["deadline"].Duration(defaultDeadline, maxDuration),
		status:   fields["status"].Int(200, 200, 599),
		headers:  readTemplates(fields["headers"]),
	}
	var err error
	if e.route, err = parseRoute(fields["route"].Text("/{rest...}")); err != nil {
		fields["route"].Fail("%s", err)
	}
	for _, item := range fields["require"].List() {
		ref, err := parseReference(item.Text(""))
		if err == nil && (!ref.fromRequest() || ref.source == fromPath || ref.hasFallback) {
			item.Fail("must name a value of the request, such as query.q, header.x-user or body.id")
		} else if err != nil {
			item.Fail("%s", err)
		} else {
			e.require = append(e.require, ref)
		}
	}
	for _, entry := range fields["calls"].Entries() {
		if !isName(entry.Name) {
			entry.Fail("isn't a name: letters, digits, _ and -, beginning with a letter")
			continue
		}
		e.calls = append(e.calls, c.readCall(entry))
	}
	if len(e.calls) == 0 && !fields["calls"].Set() {
		fields["calls"].Fail("is missing: at least one call is needed")
	} else if len(e.calls) == 0 {
		fields["calls"].Fail("holds no call")
	}
	if fields["response"].Set() {
		e.response = newStructure(fields["response"])
		e.checkRefs(fields["response"], c.vars, e.response.refs())
	}
	for name, t := range e.headers {
		e.checkRefs(settingsChild(fields["headers"], name), c.vars, t.refs())
	}
	e.checkCalls(fields["calls"], c.vars)
	return e
}

// settingsChild finds the entry of that name, to report a problem at.
func settingsChild(v settings.Value, name string) settings.Value {
	for _, entry := range v.Entries() {
		if entry.Name == name {
			return entry.Value
		}
	}
	return v
}

// readTemplates reads an object of templates, such as headers.
func readTemplates(v settings.Value) map[string]template {
	templates := map[string]template{}
	for _, entry := range v.Entries() {
		t, err := parseTemplate(entry.Text(""))
		if err != nil {
			entry.Fail("%s", err)
		}
		templates[entry.Name] = t
	}
	return templates
}

// checkRefs reports references to what can't be there.
func (e *endpoint) checkRefs(at settings.Value, vars map[string]any, refs []*reference) {
	for _, ref := range refs {
		switch ref.source {
		case fromCalls:
			if e.call(ref.name) == nil {
				at.Fail("{%s}: there is no call %q", ref.text, ref.name)
			}
		case fromVars:
			if _, ok := vars[ref.name]; !ok {
				at.Fail("{%s}: there is no constant %q in vars", ref.text, ref.name)
			}
		case fromPath:
			if !slices.ContainsFunc(e.route.segments, func(s segment) bool { return s.param && s.text == ref.name }) {
				at.Fail("{%s}: the route has no parameter %q", ref.text, ref.name)
			}
		}
	}
}

// checkCalls checks what calls say of each other, and that no call waits for itself.
func (e *endpoint) checkCalls(at settings.Value, vars map[string]any) {
	sound := true
	for _, c := range e.calls {
		e.checkRefs(c.at, vars, c.refs())
		for _, name := range c.waitsFor {
			sound = sound && e.call(name) != nil
		}
	}
	if !sound {
		return
	}
	done := map[string]bool{}
	for _, c := range e.calls {
		if cycle := e.findCycle(c, nil, done); cycle != nil {
			at.Fail("wait for each other: %s", strings.Join(cycle, " → "))
			return
		}
	}
}

func (e *endpoint) findCycle(c *call, trail []string, done map[string]bool) []string {
	if i := slices.Index(trail, c.name); i >= 0 {
		return append(trail[i:], c.name)
	}
	if done[c.name] {
		return nil
	}
	trail = append(trail, c.name)
	for _, name := range c.waitsFor {
		if cycle := e.findCycle(e.call(name), trail, done); cycle != nil {
			return cycle
		}
	}
	done[c.name] = true
	return nil
}

func (e *endpoint) call(name string) *call {
	for _, c := range e.calls {
		if c.name == name {
			return c
		}
	}
	return nil
}

// isRest tells whether a reference names the route's parameter that may hold several segments.
func (e *endpoint) isRest(ref *reference) bool {
	last := e.route.segments[len(e.route.segments)-1]
	return ref.source == fromPath && last.rest && last.text == ref.name
}
