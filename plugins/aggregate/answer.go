package main

import (
	"fmt"

	"github.com/sortie-run/sortie/plugins/internal/problem"
	sortie "github.com/sortie-run/sortie/sdk/go"
)

// completeHeader tells whether every call succeeded, also where the body has no room to say so.
const completeHeader = "aggregate-complete"

// answer assembles the response from what the calls brought.
func answer(e *endpoint, s *scope) (*sortie.Response, error) {
	errs := callErrors(e, s)
	var value any
	if e.response != nil {
		value, _ = e.response.build(s, asNull)
	} else {
		members := map[string]any{}
		for _, c := range e.calls {
			members[c.name] = nil
			if doc := s.calls[c.name].doc; doc != nil {
				members[c.name] = doc.whole()
			}
		}
		value = members
	}
	if members, ok := value.(map[string]any); ok && len(errs) > 0 {
		members["partial"], members["errors"] = true, errs
	}
	data, err := encodeJSON(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the answer: %w", err)
	}
	resp := &sortie.Response{Status: e.status, Header: sortie.Header{}, Body: data}
	resp.Header.Set("content-type", "application/json")
	resp.Header.Set(completeHeader, fmt.Sprint(len(errs) == 0))
	for name, t := range e.headers {
		if value, err := headerValue(t, s); err == nil {
			resp.Header.Set(name, value)
		}
	}
	return resp, nil
}

// callErrors holds the calls that failed, by name.
func callErrors(e *endpoint, s *scope) map[string]*callError {
	errs := map[string]*callError{}
	for _, c := range e.calls {
		if err := s.calls[c.name].err; err != nil {
			errs[c.name] = err
		}
	}
	return errs
}

// worst is the call whose failure is the whole answer's: the required one that failed first, or, where nothing at all has arrived or
// stands in for it, the first that wasn't the consequence of another.
func worst(e *endpoint, s *scope, failed *call) *call {
	if failed != nil {
		return failed
	}
	var found *call
	for _, c := range e.calls {
		o := s.calls[c.name]
		if o.doc != nil {
			return nil
		}
		if found == nil || s.calls[found.name].err.Code == codeDependencyFailed {
			found = c
		}
	}
	return found
}

// failure answers a request for which there is nothing to answer.
func failure(e *endpoint, s *scope, c *call) *sortie.Response {
	err := s.calls[c.name].err
	return problem.Response(failureStatus(c, err), err.Code, fmt.Sprintf("call %s: %s", c.name, err.Message),
		map[string]any{"call": c.name, "errors": callErrors(e, s)})
}

// failureStatus is 400 for what the caller got wrong, a status of the upstream's that is to be passed on, 504 where time ran out, 503 where
// another try later may do, and else 502.
func failureStatus(c *call, err *callError) int {
	for _, status := range c.passStatus {
		if err.Status == status {
			return status
		}
	}
	switch err.Code {
	case "timeout", "connect_timeout", "read_timeout", "write_timeout":
		return 504
	case "pool_timeout", "rate_limited", "circuit_open":
		return 503
	}
	if err.badRequest {
		return 400
	}
	return 502
}
