package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
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
	"github.com/sortie-run/sortie/server/store"
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
	replace := strings.NewReplacer(":name", "{name}", ":id", "{id}", ":version", "{version}", ":file", "{file}", "*", "{path}")
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
	if a.StatusCode == http.StatusNoContent || a.StatusCode == http.StatusNotModified {
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
	for _, mediaType := range []string{"application/x-tar", "application/wasm", "text/javascript", "text/css", "image/svg+xml"} {
		openapi3filter.RegisterBodyDecoder(mediaType, openapi3filter.FileBodyDecoder)
	}
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		if code, failing := strings.CutPrefix(r.Path, "/fail/"); failing {
			return nil, host.NewError(code, "so it is")
		}
		header := []fetch.Field{{Name: "content-type", Value: "application/json"}}
		return &host.Response{Status: 200, Header: header, Body: []byte(`{"a":1}`)}, nil
	}
	open := start(t, invoke, options{operator: "ceilings: {limits: {wall: 5s}}"})
	closed := start(t, invoke, options{token: "geheim", key: newKey(t)})
	form1, type1 := formText("manifest", "name: a\nlimits: {wall: 10s}", "wasm", "one")
	form2, type2 := formText("manifest", "name: a\nlimts: {}", "wasm", "one")
	large, typeLarge := formText("manifest", strings.Repeat("#", maxManifest+1), "wasm", "one")
	const (
		plugins, plugin, versions = "/v1/plugins", "/v1/plugins/{name}", "/v1/plugins/{name}/versions"
		called, below             = "/p/{name}", "/p/{name}/{path}"
		traffic, rollback         = "/v1/plugins/{name}/traffic", "/v1/plugins/{name}/rollback"
		audit, tokens, token      = "/v1/audit", "/v1/tokens", "/v1/tokens/{id}"
		secrets, secretOne        = "/v1/secrets", "/v1/secrets/{name}"
		whoami, file              = "/v1/whoami", "/console/{file}"
		effective, module         = versions + "/{version}/manifest", versions + "/{version}/wasm"
		explain, invocations      = plugin + "/explain", plugin + "/invocations"
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
		{"GET", "/v1/whoami", whoami, nil, "", "", 200}, {"GET", "/v1/whoami", whoami, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/versions/1/manifest", effective, nil, "", "", 200}, {"GET", "/v1/plugins/a/versions/9/manifest", effective, nil, "", "", 404},
		{"GET", "/v1/plugins/c/versions/1/manifest", effective, nil, "", "", 404}, {"GET", "/v1/plugins/a/versions/x/manifest", effective, nil, "", "", 400},
		{"GET", "/v1/plugins/a/versions/1/manifest", effective, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/versions/1/wasm", module, nil, "", "", 200}, {"HEAD", "/v1/plugins/a/versions/1/wasm", module, nil, "", "", 200},
		{"GET", "/v1/plugins/a/versions/1/wasm", module, []string{"If-None-Match", `"` + store.Digest([]byte("one")) + `"`}, "", "", 304},
		{"GET", "/v1/plugins/a/versions/9/wasm", module, nil, "", "", 404}, {"GET", "/v1/plugins/a/versions/0/wasm", module, nil, "", "", 400},
		{"GET", "/v1/plugins/a/versions/1/wasm", module, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/explain?url=https://a.example&method=PUT&version=1", explain, nil, "", "", 200},
		{"GET", "/v1/plugins/a/explain", explain, nil, "", "", 400}, {"GET", "/v1/plugins/a/explain?url=x&version=9", explain, nil, "", "", 404},
		{"GET", "/v1/plugins/c/explain?url=x", explain, nil, "", "", 404}, {"GET", "/v1/plugins/a/explain?url=x", explain, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/invocations", invocations, nil, "", "", 200}, {"GET", "/v1/plugins/a/invocations?limit=0", invocations, nil, "", "", 400},
		{"GET", "/v1/plugins/c/invocations", invocations, nil, "", "", 404}, {"GET", "/v1/plugins/a/invocations", invocations, rebound, "", "", 403},
		{"GET", "/console/app.js", file, nil, "", "", 200}, {"GET", "/console/style.css", file, nil, "", "", 200}, {"GET", "/console/icon.svg", file, nil, "", "", 200},
		{"GET", "/console/index.html", file, nil, "", "", 404}, {"GET", "/console/app.js", file, rebound, "", "", 403},
		{"GET", "/p/b", called, nil, "", "", 404}, {"GET", "/p/c", called, nil, "", "", 404}, {"GET", "/p/a", called, rebound, "", "", 403},
		{"GET", "/p/a", called, []string{"Sortie-Version", "x"}, "", "", 400}, {"GET", "/p/a", called, []string{"Sortie-Version", "9"}, "", "", 404},
		{"POST", "/p/a", called, nil, strings.Repeat("x", 1<<20+1), "text/plain", 413},
		{"PUT", "/v1/plugins/a?note=why", plugin, nil, "two", "application/wasm", 201},
		{"PUT", "/v1/plugins/a?digest=" + store.Digest([]byte("two")), plugin, nil, "one", "application/wasm", 422},
		{"PUT", "/v1/plugins/a?digest=two", plugin, nil, "one", "application/wasm", 400},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, `[{"version":1,"weight":90},{"version":2,"weight":10}]`, "", 200},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, `[{"version":1,"weight":90}]`, "", 400},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, `[{"version":9,"weight":100}]`, "", 404},
		{"PUT", "/v1/plugins/c/traffic", traffic, nil, `[{"version":9,"weight":100}]`, "", 404},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, strings.Repeat(" ", jsonBytes+1), "", 413},
		{"PUT", "/v1/plugins/a/traffic", traffic, []string{"If-Match", `"1"`}, `[{"version":1,"weight":100}]`, "", 409},
		{"PUT", "/v1/plugins/a/traffic", traffic, rebound, "", "", 403},
		{"POST", "/v1/plugins/a/rollback", rollback, nil, "", "", 200}, {"POST", "/v1/plugins/b/rollback", rollback, nil, "", "", 409},
		{"POST", "/v1/plugins/a/rollback", rollback, nil, `{"version":1}`, "", 200}, {"POST", "/v1/plugins/a/rollback", rollback, nil, "[]", "", 400},
		{"POST", "/v1/plugins/c/rollback", rollback, nil, "", "", 404}, {"POST", "/v1/plugins/a/rollback", rollback, rebound, "", "", 403},
		{"GET", "/v1/plugins/a/versions", versions, nil, "", "", 200},
		{"DELETE", "/v1/plugins/b", plugin, []string{"If-Match", `"1"`}, "", "", 409}, {"DELETE", "/v1/plugins/b?note=%0a", plugin, nil, "", "", 400},
		{"DELETE", "/v1/plugins/b", plugin, nil, "", "", 204}, {"DELETE", "/v1/plugins/b", plugin, nil, "", "", 404},
		{"DELETE", "/v1/plugins/a", plugin, []string{"Origin", "http://evil.example"}, "", "", 403},
		{"GET", "/livez", "/livez", nil, "", "", 200}, {"GET", "/healthz", "/healthz", nil, "", "", 200},
		{"GET", "/readyz", "/readyz", nil, "", "", 200},
		{"GET", "/metrics", "/metrics", nil, "", "", 200}, {"GET", "/metrics", "/metrics", rebound, "", "", 403},
		{"GET", "/v1/backup", "/v1/backup", nil, "", "", 200}, {"GET", "/v1/backup", "/v1/backup", rebound, "", "", 403},
		{"GET", "/v1/audit", audit, nil, "", "", 200}, {"GET", "/v1/audit?plugin=b&after=1", audit, nil, "", "", 200},
		{"GET", "/v1/audit?limit=0", audit, nil, "", "", 400}, {"GET", "/v1/audit", audit, rebound, "", "", 403},
		{"GET", "/v1/tokens", tokens, nil, "", "", 200}, {"GET", "/v1/tokens", tokens, rebound, "", "", 403},
		{"POST", "/v1/tokens", tokens, nil, "", "", 400}, {"POST", "/v1/tokens", tokens, nil, `{"role":"read"}`, "", 409},
		{"POST", "/v1/tokens", tokens, nil, strings.Repeat(" ", jsonBytes+1), "", 413}, {"POST", "/v1/tokens", tokens, rebound, "", "", 403},
		{"DELETE", "/v1/tokens/x", token, nil, "", "", 404}, {"DELETE", "/v1/tokens/x", token, rebound, "", "", 403},
		{"GET", "/v1/secrets", secrets, nil, "", "", 200}, {"GET", "/v1/secrets", secrets, rebound, "", "", 403},
		{"PUT", "/v1/secrets/A", secretOne, nil, "", "", 400}, {"PUT", "/v1/secrets/A", secretOne, nil, oneSecret, "", 409},
		{"PUT", "/v1/secrets/A", secretOne, nil, strings.Repeat(" ", secretBytes+1), "", 413}, {"PUT", "/v1/secrets/A", secretOne, rebound, "", "", 403},
		{"DELETE", "/v1/secrets/A", secretOne, nil, "", "", 404}, {"DELETE", "/v1/secrets/A", secretOne, rebound, "", "", 403},
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
	calls = append(calls, call{"GET", "/v1/plugins/a/invocations?limit=500", invocations, nil, "", "", 200}) // now that there are some
	for _, c := range calls {
		conform(t, open, doc, c)
	}
	for _, c := range []call{
		{"GET", "/v1/plugins", plugins, nil, "", "", 401}, {"PUT", "/v1/plugins/a", plugin, nil, "one", "application/wasm", 401},
		{"GET", "/v1/plugins/a", plugin, nil, "", "", 401}, {"DELETE", "/v1/plugins/a", plugin, nil, "", "", 401},
		{"GET", "/v1/plugins/a/versions", versions, nil, "", "", 401}, {"GET", "/p/a", called, nil, "", "", 401},
		{"POST", "/p/a/x", below, nil, "x", "", 401}, {"GET", "/v1/audit", audit, nil, "", "", 401},
		{"GET", "/metrics", "/metrics", nil, "", "", 401}, {"GET", "/v1/backup", "/v1/backup", nil, "", "", 401},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, "", "", 401}, {"POST", "/v1/plugins/a/rollback", rollback, nil, "", "", 401},
		{"GET", "/v1/plugins/a/versions/1/manifest", effective, nil, "", "", 401}, {"GET", "/v1/plugins/a/versions/1/wasm", module, nil, "", "", 401},
		{"GET", "/v1/plugins/a/explain?url=x", explain, nil, "", "", 401}, {"GET", "/v1/plugins/a/invocations", invocations, nil, "", "", 401},
		{"GET", "/v1/whoami", whoami, nil, "", "", 401},
		{"GET", "/v1/tokens", tokens, nil, "", "", 401}, {"POST", "/v1/tokens", tokens, nil, "{}", "", 401},
		{"DELETE", "/v1/tokens/x", token, nil, "", "", 401},
		{"GET", "/v1/secrets", secrets, nil, "", "", 401}, {"PUT", "/v1/secrets/A", secretOne, nil, "{}", "", 401},
		{"DELETE", "/v1/secrets/A", secretOne, nil, "", "", 401},
	} {
		conform(t, closed, doc, c)
	}
	admin := []string{"Authorization", "Bearer geheim"}
	_, id := closed.newToken(`{"role":"read","plugins":["a-*"],"expires":"never","note":"for a"}`)
	for _, c := range []call{
		{"POST", "/v1/tokens", tokens, admin, `{"role":"deploy"}`, "", 201}, {"DELETE", "/v1/tokens/" + id, token, admin, "", "", 204},
		{"GET", "/v1/tokens", tokens, admin, "", "", 200},
		{"PUT", "/v1/secrets/A", secretOne, admin, oneSecret, "", 201}, {"PUT", "/v1/secrets/A", secretOne, admin, oneSecret, "", 200},
		{"GET", "/v1/secrets", secrets, admin, "", "", 200}, {"DELETE", "/v1/secrets/A", secretOne, admin, "", "", 204},
		{"GET", "/v1/audit", audit, admin, "", "", 200},
	} {
		conform(t, closed, doc, c)
	}
	public, secret := signingKey(1)
	signing := start(t, invoke, options{operator: "signatures: {required: true, keys: [" + public + "]}"})
	signed := []string{headerSignature, base64.StdEncoding.EncodeToString([]byte(signModule(t, secret, "one", true)))}
	formSigned, typeSigned := formText("wasm", "one", "signature", signModule(t, secret, "one", false))
	for _, c := range []call{
		{"PUT", "/v1/plugins/a", plugin, nil, formSigned, typeSigned, 201}, {"PUT", "/v1/plugins/a", plugin, signed, "one", "application/wasm", 200},
		{"PUT", "/v1/plugins/a", plugin, signed, "two", "application/wasm", 422}, {"PUT", "/v1/plugins/a", plugin, nil, "one", "application/wasm", 422},
		{"PUT", "/v1/plugins/a", plugin, signed, formSigned, typeSigned, 400},
	} {
		conform(t, signing, doc, c)
	}
	if err := open.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []call{
		{"GET", "/readyz", "/readyz", nil, "", "", 503}, {"PUT", "/v1/plugins/a", plugin, nil, form1, type1, 503},
		{"DELETE", "/v1/plugins/a", plugin, nil, "", "", 503}, {"GET", "/p/a", called, nil, "", "", 503},
		{"PUT", "/v1/plugins/a/traffic", traffic, nil, `[{"version":1,"weight":100}]`, "", 503},
		{"POST", "/v1/plugins/a/rollback", rollback, nil, "", "", 503}, {"POST", "/v1/tokens", tokens, nil, `{"role":"admin"}`, "", 503},
		{"DELETE", "/v1/tokens/x", token, nil, "", "", 503},
		{"PUT", "/v1/secrets/A", secretOne, nil, oneSecret, "", 503}, {"DELETE", "/v1/secrets/A", secretOne, nil, "", "", 503},
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
