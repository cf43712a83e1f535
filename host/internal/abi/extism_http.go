package abi

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// Extism's own HTTP, through our engine. In the plugin's eyes it is what the PDKs document, but that a failure is offset 0 with
// status 0 where Extism's host would trap.

// extismRequest is what the PDKs send (extism_manifest's HttpRequest; older PDKs say "header").
type extismRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers"`
	Header  map[string]string `json:"header"`
}

// httpRequest: stack [request block, body block or 0] -> block of the response's body, or 0
func httpRequest(c *guest.Call, blocks Blocks, stack []uint64) {
	in, body := blocks.Read(stack[0]), blocks.Read(stack[1])
	blocks.Free(stack[0])
	blocks.Free(stack[1])
	stack[0] = 0
	c.LastHTTP.Status, c.LastHTTP.Header = 0, nil
	if c.Session == nil {
		return
	}
	var q extismRequest
	if len(in) > maxHTTPJSON {
		c.Log.Add(slog.LevelWarn, fmt.Sprintf("http_request: invalid_request: the request has %d bytes, at most %d are taken", len(in), maxHTTPJSON))
		return
	}
	if err := json.Unmarshal(in, &q); err != nil {
		c.Log.Add(slog.LevelWarn, "http_request: invalid_request: the request isn't the JSON that Extism's PDKs send: "+err.Error())
		return
	}
	r := &fetch.Request{Method: strings.ToUpper(q.Method), URL: q.URL, Body: body}
	for _, headers := range []map[string]string{q.Headers, q.Header} {
		for _, name := range slices.Sorted(maps.Keys(headers)) {
			r.Header = append(r.Header, fetch.Field{Name: name, Value: headers[name]})
		}
	}
	var got fetch.Result
	c.Blocking(func() { got = c.Session.Do(c.Context(), r) })
	if got.Err != nil {
		asked := q.URL
		if at := strings.LastIndexByte(asked, '@'); at >= 0 {
			asked = "…" + asked[at:] // what is in front of it may be a password
		}
		c.Log.Add(slog.LevelWarn, fmt.Sprintf("http_request %s: %s: %s", asked, got.Err.Code, got.Err.Message))
		return
	}
	offset, ok := blocks.Write(got.Response.Body)
	if !ok {
		c.Log.Add(slog.LevelWarn, fmt.Sprintf("http_request %s: the response's %d bytes don't fit the plugin's memory (limits.memory)",
			q.URL, len(got.Response.Body)))
		return
	}
	c.LastHTTP.Status, c.LastHTTP.Header = got.Response.Status, got.Response.Header
	stack[0] = offset
}

// httpStatusCode: stack [] -> status of the last http_request, 0 if it failed
func httpStatusCode(c *guest.Call, _ Blocks, stack []uint64) { stack[0] = uint64(c.LastHTTP.Status) }

// httpHeaders: stack [] -> block of the last response's headers as a JSON object, lower-case names, or 0
func httpHeaders(c *guest.Call, blocks Blocks, stack []uint64) {
	stack[0] = 0
	if c.LastHTTP.Status == 0 {
		return
	}
	headers := map[string]string{}
	for _, f := range c.LastHTTP.Header {
		name := strings.ToLower(f.Name)
		if first, again := headers[name]; again {
			headers[name] = first + ", " + f.Value
		} else {
			headers[name] = f.Value
		}
	}
	data, err := json.Marshal(headers)
	if err != nil {
		return // strings always marshal
	}
	if offset, ok := blocks.Write(data); ok {
		stack[0] = offset
	}
}
