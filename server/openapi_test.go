package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

func readDocument(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.IsOpenAPI31OrLater()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestDocumentAndRoutes holds openapi.yaml and the router together.
func TestDocumentAndRoutes(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range readDocument(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	replace := strings.NewReplacer(":name", "{name}", ":id", "{id}", "*", "{path}")
	var routed []string
	s := start(t, says(""), options{})
	for _, r := range s.echo.Routes() {
		path := replace.Replace(r.Path)
		switch r.Method {
		case echo.RouteNotFound: // every method; OpenAPI 3.1 has a word for these
			for _, method := range []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"} {
				routed = append(routed, method+" "+path)
			}
		case http.MethodHead: // the document says once that HEAD goes wherever GET does
			if !slices.ContainsFunc(s.echo.Routes(), func(o *echo.Route) bool { return o.Path == r.Path && o.Method == http.MethodGet }) {
				t.Errorf("HEAD %s without GET", path)
			}
		default:
			routed = append(routed, r.Method+" "+path)
		}
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if diff := gocmp.Diff(documented, routed); diff != "" {
		t.Errorf("routes (-documented +routed):\n%s", diff)
	}
}

// TestDocumentAndCodes holds openapi.yaml's list of codes and the server's together.
func TestDocumentAndCodes(t *testing.T) {
	t.Parallel()
	var listed, known []string
	for _, code := range readDocument(t).Components.Schemas["Code"].Value.Enum {
		listed = append(listed, fmt.Sprint(code))
	}
	for code := range titles {
		if code != host.CodeCancelled { // nobody is there to be answered with it
			known = append(known, code)
		}
	}
	slices.Sort(listed)
	slices.Sort(known)
	if diff := gocmp.Diff(listed, known); diff != "" {
		t.Errorf("codes (-listed +known):\n%s", diff)
	}
	for _, code := range known {
		if code != host.CodeInternal && host.StatusOf(code) == 500 && !strings.HasPrefix(code, "plugin_") && !strings.HasPrefix(code, "limit_") {
			t.Errorf("%s has no status", code)
		}
	}
}

// call is a request and where the document has it.
type call struct {
	method, path, operation string // operation: the path in the document
	header                  []string
	body, contentType       string
	status                  int
}

// conform sends the call, and validates the answer against the document.
func conform(t *testing.T, s *testServer, doc *openapi3.T, c call) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	for i := 0; i < len(c.header); i += 2 {
		r.Header.Add(c.header[i], c.header[i+1])
	}
	r.Host = cmp.Or(r.Header.Get("Host"), r.Host)
	a := s.do(r)
	name := c.method + " " + c.path
	if a.StatusCode != c.status {
		t.Errorf("%s: %d %s, want %d", name, a.StatusCode, a.body, c.status)
	}
	item := doc.Paths.Value(c.operation)
	operation := item.GetOperation(strings.Replace(c.method, "HEAD", "GET", 1))
	if operation == nil {
		t.Fatalf("%s isn't in the document", name)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, Route: &routers.Route{Spec: doc, Path: c.operation, PathItem: item, Method: c.method, Operation: operation},
		},
		Status: a.StatusCode, Header: a.Header, Body: io.NopCloser(bytes.NewReader([]byte(a.body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: c.method == http.MethodHead},
	}
	if err := openapi3filter.ValidateResponse(context.WithoutCancel(t.Context()), input); err != nil {
		t.Errorf("%s: %d: %v", name, a.StatusCode, err)
	}
	if a.StatusCode == http.StatusNoContent {
		return
	}
	response := operation.Responses.Status(a.StatusCode)
	if response == nil {
		response = operation.Responses.Default()
	}
	mediaType, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	if response.Value.Content.Get(mediaType) == nil {
		t.Errorf("%s: %d: the document doesn't know the type %q", name, a.StatusCode, mediaType)
	}
	if a.Header.Get("Sortie-Error") != "" && mediaType != "application/problem+json" {
		t.Errorf("%s: a failure as %q", name, mediaType)
	}
}

// TestAnswersConform has every operation answer in every way it can be brought to, and validates each real answer against the document.
func TestAnswersConform(t *testing.T) {
	t.Parallel()
	doc := readDocument(t)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.FileBodyDecoder)
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		if code, failing := strings.CutPrefix(r.Path, "/fail/"); failing {
			return nil, host.NewError(code, "so it is")
		}
		header := []fetch.Field{{Name: "content-type", Value: "application/json"}}
		return &host.Response{Status: 200, Header: header, Body: []byte(`{"a":1}`)}, nil
	}
	open := start(t, invoke, options{operator: "ceilings: {limits: {wall: 5s}}"})
	closed := start(t, invoke, options{token: "geheim"})
	form1, type1 := formText("manifest", "name: a\nlimits: {wall: 10s}", "wasm", "one")
	form2, type2 := formText("manifest", "name: a\nlimts: {}", "wasm", "one")
	large, typeLarge := formText("manifest", strings.Repeat("#", maxManifest+1), "wasm", "one")
	const (
		plugins, plugin, versions = "/v1/plugins", "/v1/plugins/{name}", "/v1/plugins/{name}/versions"
		called, below             = "/p/{name}", "/p/{name}/{path}"
	)
	rebound := []string{"Host", "evil.example"}
	calls := []call{
		{"GET", "/v1/plugins", plugins, nil, "", "", 200},
		{"PUT", "/v1/plugins/a", plugin, nil, form1, type1, 201}, {"PUT", "/v1/plugins/a", plugin, nil, form1, type1, 200},
		{"PUT", "/v1/plugins/b?traffic=none", plugin, nil, "one", "application/wasm", 201},
		{"PUT", "/v1/plugins/a", plugin, nil, form2, type2, 422}, {"PUT", "/v1/plugins/a", plugin, nil, "bad", "application/wasm", 422},
		{"PUT", "/v1/plugins/a", plugin, nil, large, typeLarge, 413}, {"PUT", "/v1/plugins/A", plugin, nil, "one", "application/wasm", 400},
		{"PUT", "/v1/plugins/a", plugin, nil, "one", "text/plain", 415}, {"PUT", "/v1/plugins/a", plugin, rebound, "", "", 403},
		{"GET", "/v1/plugins", plugins, nil, "", "", 200}, {"HEAD", "/v1/plugins", plugins, nil, "", "", 200},
		{"GET", "/v1/plugins", plugins, rebound, "", "", 403},
		{"GET", "/v1/plugins/a", plugin, nil, "", "", 200}, {"GET", "/v1/plugins/b", plugin, nil, "", "", 200},
		{"GET", "/v1/plugins/c", plugin, nil, "", "", 404}, {"GET", "/v1/plugins/a", plugin, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/versions", versions, nil, "", "", 200}, {"GET", "/v1/plugins/c/versions", versions, nil, "", "", 404},
		{"GET", "/v1/plugins/a/versions", versions, rebound, "", "", 403},
		{"GET", "/p/b", called, nil, "", "", 404}, {"GET", "/p/c", called, nil, "", "", 404}, {"GET", "/p/a", called, rebound, "", "", 403},
		{"GET", "/p/a", called, []string{"Sortie-Version", "x"}, "", "", 400}, {"GET", "/p/a", called, []string{"Sortie-Version", "9"}, "", "", 404},
		{"POST", "/p/a", called, nil, strings.Repeat("x", 1<<20+1), "text/plain", 413},
		{"DELETE", "/v1/plugins/b", plugin, nil, "", "", 204}, {"DELETE", "/v1/plugins/b", plugin, nil, "", "", 404},
		{"DELETE", "/v1/plugins/a", plugin, []string{"Origin", "http://evil.example"}, "", "", 403},
		{"GET", "/livez", "/livez", nil, "", "", 200}, {"GET", "/healthz", "/healthz", nil, "", "", 200},
		{"GET", "/readyz", "/readyz", nil, "", "", 200},
		{"GET", "/", "/", nil, "", "", 200}, {"GET", "/openapi.yaml", "/openapi.yaml", nil, "", "", 200},
	}
	for _, address := range []string{"/livez", "/healthz", "/readyz", "/", "/openapi.yaml"} {
		calls = append(calls, call{"GET", address, address, rebound, "", "", 403})
	}
	for method := range doc.Paths.Value(called).Operations() {
		calls = append(calls, call{method, "/p/a", called, nil, "", "", 200}, call{method, "/p/a/b/c%2Fd", below, nil, "", "", 200})
	}
	for code := range titles {
		if code != host.CodeCancelled {
			calls = append(calls, call{"POST", "/p/a/fail/" + code, below, nil, "body", "text/plain", host.StatusOf(code)})
		}
	}
	for _, c := range calls {
		conform(t, open, doc, c)
	}
	for _, c := range []call{
		{"GET", "/v1/plugins", plugins, nil, "", "", 401}, {"PUT", "/v1/plugins/a", plugin, nil, "one", "application/wasm", 401},
		{"GET", "/v1/plugins/a", plugin, nil, "", "", 401}, {"DELETE", "/v1/plugins/a", plugin, nil, "", "", 401},
		{"GET", "/v1/plugins/a/versions", versions, nil, "", "", 401}, {"GET", "/p/a", called, nil, "", "", 401},
		{"POST", "/p/a/x", below, nil, "x", "", 401},
	} {
		conform(t, closed, doc, c)
	}
	if err := open.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []call{
		{"GET", "/readyz", "/readyz", nil, "", "", 503}, {"PUT", "/v1/plugins/a", plugin, nil, form1, type1, 503},
		{"DELETE", "/v1/plugins/a", plugin, nil, "", "", 503}, {"GET", "/p/a", called, nil, "", "", 503},
	} {
		conform(t, open, doc, c)
	}
}

func formText(parts ...string) (body, contentType string) {
	r, contentType := form(parts...)
	data, _ := io.ReadAll(r)
	return string(data), contentType
}

// TestDocumentedLimits makes sure that the manifest's limits are all in the document's schema.
func TestDocumentedLimits(t *testing.T) {
	t.Parallel()
	schema := readDocument(t).Components.Schemas["Limits"].Value
	got := fmt.Sprint(len(schema.Properties), len(schema.Properties["fetch"].Value.Properties))
	if want := fmt.Sprint(len(jsonKeys(t, manifest.Limits{}))+1, len(jsonKeys(t, manifest.FetchLimits{}))); got != want {
		t.Errorf("the document has %s limits, the manifest %s", got, want)
	}
}

func jsonKeys(t *testing.T, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	return keys
}
