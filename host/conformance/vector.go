package conformance

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/sortie-run/sortie/host/conformance/upstream"
)

//go:embed vectors/*.json
var vectorFiles embed.FS

//go:embed guests/*.wasm
var guestFiles embed.FS

// Vector is one entry of a file in vectors/; README.md describes each key.
type Vector struct {
	Name   string `json:"name"`
	Why    string `json:"why"`    // one sentence
	Plugin string `json:"plugin"` // a guest's name, in guests/

	Manifest map[string]any     `json:"manifest"`
	Operator json.RawMessage    `json:"operator"` // none: what is at defaultOperator
	Program  Program            `json:"program"`  // of the guest script, for every path
	Programs map[string]Program `json:"programs"`

	Requests   []Call            `json:"requests"` // none: one, POST /
	Concurrent bool              `json:"concurrent"`
	Secrets    map[string]string `json:"secrets"` // values, by the names that the operator defines
	Upstream   upstream.Script   `json:"upstream"`
	Expect     Expect            `json:"expect"`

	Hosts map[string]*Exception `json:"hosts"` // by Target.Host; Exception finds the one that counts

	Class string `json:"-"` // the file's name
	raw   json.RawMessage
}

// Call is a request of a vector.
type Call struct {
	Method  string          `json:"method"` // "": POST
	URL     string          `json:"url"`    // path and query; "": /
	Headers [][2]string     `json:"headers"`
	Body    string          `json:"body"`
	JSON    json.RawMessage `json:"json"` // in place of Body
	Size    int             `json:"size"` // in place of Body: so many bytes "x"
	Pieces  []string        `json:"pieces"`
	Abort   map[string]int  `json:"abort"` // the caller goes away once so many requests have come for this path
}

// Exception says why a host does otherwise.
type Exception struct {
	Reason string          `json:"reason"` // one of Reasons
	Expect json.RawMessage `json:"expect"` // keys of Expect that replace the vector's, null removes one; none: the vector isn't run
}

// Reasons are the documented reasons for which a host can't do what a vector wants, by code.
var Reasons = map[string]string{
	"browser_header":      "a page can't set this header of a request",
	"browser_redirect":    "a page sees neither a redirect's answer nor its hops",
	"browser_network":     "a page isn't told why a fetch failed",
	"browser_upload":      "a page can't send a body while it is being written",
	"browser_address":     "a page can't see the address that a name has",
	"browser_secret":      "a page can't be trusted with a secret",
	"browser_cpu":         "nothing can end a guest on the page's own thread",
	"browser_isolation":   "a worker that blocks needs a page that is cross-origin isolated",
	"browser_body":        "fetch() sends no body with GET and HEAD",
	"browser_connections": "a browser has six connections to an origin, or what HTTP/2 allows",
	"browser_fields":      "fetch() joins repeated fields, and a page isn't shown Set-Cookie",
	"browser_coding":      "a page's bytes are decoded by the browser, with the codings that it knows",
}

// defaultOperator is the operator of vectors that have none: the upstreams are on loopback.
const defaultOperator = `{"private": ["http://127.0.0.1:*", "http://localhost:*"]}`

// Vectors reads the vectors, in the order of files and of entries in them.
func Vectors() ([]*Vector, error) {
	files, err := fs.Glob(vectorFiles, "vectors/*.json")
	if err != nil {
		return nil, err
	}
	var all []*Vector
	for _, file := range files {
		data, err := vectorFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		class := strings.TrimSuffix(path.Base(file), ".json")
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for i, raw := range list {
			v, err := parse(raw)
			if err != nil {
				return nil, fmt.Errorf("%s: entry %d: %w", file, i+1, err)
			}
			v.Class, v.raw = class, raw
			all = append(all, v)
		}
	}
	return all, nil
}

// parse reads one vector, strictly.
func parse(raw []byte) (*Vector, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	d.UseNumber()
	v := &Vector{}
	if err := d.Decode(v); err != nil {
		return nil, fmt.Errorf("%q: %w", v.Name, err)
	}
	if v.Name == "" || v.Why == "" || v.Plugin == "" {
		return nil, fmt.Errorf("%q: name, why and plugin are required", v.Name)
	}
	for host, e := range v.Hosts {
		if _, known := Reasons[e.Reason]; !known {
			return nil, fmt.Errorf("%q: hosts.%s: the reason %q isn't a documented one", v.Name, host, e.Reason)
		}
		if _, err := v.expected(host); err != nil {
			return nil, fmt.Errorf("%q: hosts.%s: %w", v.Name, host, err)
		}
	}
	return v, nil
}

// placed is the vector with the upstream's origins in it.
func (v *Vector) placed(up *upstream.Server) (*Vector, error) {
	port := up.Origin[strings.LastIndexByte(up.Origin, ':')+1:]
	text := strings.NewReplacer("{{origin}}", up.Origin, "{{other}}", up.Other, "{{named}}", up.Named, "{{dead}}", up.Dead,
		"{{port}}", port).Replace(string(v.raw))
	placed, err := parse([]byte(text))
	if err != nil {
		return nil, err
	}
	placed.Class = v.Class
	return placed, nil
}

// makeCase is what a target gets of the vector, once it is placed.
func (v *Vector) makeCase(up *upstream.Server) (*Case, error) {
	wasm, err := guestFiles.ReadFile("guests/" + v.Plugin + ".wasm")
	if err != nil {
		return nil, err
	}
	c := &Case{ID: v.Class + "/" + v.Name, Wasm: wasm, Operator: v.Operator, Secrets: v.Secrets, Concurrent: v.Concurrent}
	if c.Operator == nil {
		c.Operator = json.RawMessage(defaultOperator)
	}
	if err := v.compile(); err != nil {
		return nil, err
	}
	manifest := map[string]any{"name": "guest"}
	maps.Copy(manifest, v.Manifest)
	if c.Manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	calls := v.Requests
	if len(calls) == 0 {
		calls = []Call{{}}
	}
	for i := range calls {
		c.Requests = append(c.Requests, calls[i].request(up))
	}
	return c, nil
}

// compile puts the vector's programs into its manifest's config, where the guest script finds them.
func (v *Vector) compile() error {
	programs := map[string]Program{}
	for path, p := range v.Programs {
		programs[path] = p
	}
	if v.Program != nil {
		programs["/"] = v.Program
	}
	if len(programs) == 0 {
		return nil
	}
	config, _ := v.Manifest["config"].(map[string]any)
	if config == nil {
		config = map[string]any{}
	}
	for path, p := range programs {
		code, err := p.assemble()
		if err != nil {
			return fmt.Errorf("the program of %s: %w", path, err)
		}
		config[path] = hex.EncodeToString(code)
	}
	if v.Manifest == nil {
		v.Manifest = map[string]any{}
	}
	v.Manifest["config"] = config
	return nil
}

func (c *Call) request(up *upstream.Server) Request {
	r := Request{Method: c.Method, URL: "http://plugin.test" + c.URL, Headers: c.Headers, Body: []byte(c.Body)}
	if r.Method == "" {
		r.Method = "POST"
	}
	if c.URL == "" {
		r.URL += "/"
	}
	if r.Headers == nil {
		r.Headers = [][2]string{}
	}
	switch {
	case c.JSON != nil:
		r.Body = c.JSON
	case c.Size > 0:
		r.Body = bytes.Repeat([]byte("x"), c.Size)
	}
	for _, p := range c.Pieces {
		r.Pieces = append(r.Pieces, []byte(p))
	}
	for path, n := range c.Abort {
		r.AbortAt = up.WaitURL(path, n)
	}
	return r
}

// Exception is the one that the vector makes for a kind of host; nil: none. On a page's own thread a page's hold, unless there is one for it.
func (v *Vector) Exception(host string) *Exception {
	if e := v.Hosts[host]; e != nil || host != "inline" {
		return e
	}
	return v.Hosts["browser"]
}

// expected is what a host must do.
func (v *Vector) expected(host string) (*Expect, error) {
	e := v.Expect
	exception := v.Exception(host)
	if exception == nil || exception.Expect == nil {
		return &e, nil
	}
	base, err := json.Marshal(&e)
	if err != nil {
		return nil, err
	}
	merged := map[string]json.RawMessage{}
	if err := json.Unmarshal(base, &merged); err != nil {
		return nil, err
	}
	instead := map[string]json.RawMessage{}
	if err := json.Unmarshal(exception.Expect, &instead); err != nil {
		return nil, err
	}
	for key, value := range instead {
		if merged[key] = value; string(value) == "null" {
			delete(merged, key)
		}
	}
	all, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(all))
	d.DisallowUnknownFields()
	d.UseNumber()
	out := &Expect{}
	return out, d.Decode(out)
}
