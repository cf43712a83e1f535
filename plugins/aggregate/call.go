package main

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sortie-run/sortie/plugins/internal/settings"
	sortie "github.com/sortie-run/sortie/sdk/go"
)

// call is one upstream call of an endpoint.
type call struct {
	name     string
	at       settings.Value
	method   string
	url      *urlTemplate
	headers  map[string]template
	passed   passed
	body     body
	options  []sortie.Option
	required bool
	decode   decoding
	shape    shape
	// instead is the value that stands in when the call fails; nil if there is none.
	instead    *document
	passStatus []int // statuses of the upstream that become the answer's, if the call is required
	waitsFor   []string
}

// passed names what of the request goes upstream unchanged. Nothing does otherwise.
type passed struct {
	query    []string
	allQuery bool
	headers  []string
}

// body is a call's body: at most one of these is set.
type body struct {
	json structure
	form map[string]template
	text template
}

var callKeys = []string{"url", "method", "headers", "pass", "json", "form", "body", "timeout", "attempt_timeout", "retry", "expect",
	"redirect", "required", "decode", "target", "allow", "deny", "rename", "default", "pass_status"}

func (c *configuration) readCall(entry settings.Entry) *call {
	f := entry.Object(callKeys...)
	cl := &call{
		name:     entry.Name,
		at:       entry.Value,
		headers:  readTemplates(f["headers"]),
		required: f["required"].Bool(false),
		decode:   decoding(oneOf(f["decode"], string(decodeAuto), string(decodeJSON), string(decodeText))),
	}
	var err error
	if !f["url"].Set() {
		f["url"].Fail("is missing")
	} else if cl.url, err = parseURLTemplate(f["url"].Text("https://invalid/"), c.vars); err != nil {
		f["url"].Fail("%s", err)
	}
	cl.readBody(f)
	cl.readPassed(f["pass"])
	cl.readOptions(f)
	cl.readShape(f)
	cl.waitsFor = cl.dependencies()
	return cl
}

// oneOf reads one of several words; the first is the default.
func oneOf(v settings.Value, words ...string) string {
	word := v.Text(words[0])
	if !slices.Contains(words, word) {
		v.Fail("%q is none of %s", word, strings.Join(words, ", "))
		return words[0]
	}
	return word
}

func (c *call) readBody(f map[string]settings.Value) {
	var set []string
	for _, key := range []string{"json", "form", "body"} {
		if f[key].Set() {
			set = append(set, key)
		}
	}
	if len(set) > 1 {
		c.at.Fail("has both %s: one body is enough", strings.Join(set, " and "))
	}
	if f["json"].Set() {
		c.body.json = newStructure(f["json"])
	}
	if f["form"].Set() {
		c.body.form = readTemplates(f["form"])
	}
	if f["body"].Set() {
		var err error
		if c.body.text, err = parseTemplate(f["body"].Text("")); err != nil {
			f["body"].Fail("%s", err)
		}
	}
	method := "GET"
	if len(set) > 0 {
		method = "POST"
	}
	c.method = f["method"].Text(method)
	if c.method != strings.ToUpper(c.method) || !isName(c.method) {
		f["method"].Fail("%q isn't a method in upper case", c.method)
	}
}

func (c *call) readPassed(v settings.Value) {
	f := v.Object("query", "headers")
	for _, item := range f["query"].List() {
		if name := item.Text(""); name == "*" {
			c.passed.allQuery = true
		} else {
			c.passed.query = append(c.passed.query, name)
		}
	}
	for _, item := range f["headers"].List() {
		name := item.Text("")
		if name == "" || name == "*" {
			item.Fail("must be a header's name: passing all would hand the caller's credentials to the upstream")
		}
		c.passed.headers = append(c.passed.headers, name)
	}
}

func (c *call) readOptions(f map[string]settings.Value) {
	add := func(o sortie.Option) { c.options = append(c.options, o) }
	if d := f["timeout"].Duration(0, maxDuration); d > 0 {
		add(sortie.WithTimeout(d))
	}
	if d := f["attempt_timeout"].Duration(0, maxDuration); d > 0 {
		add(sortie.WithAttemptTimeout(d))
	}
	if f["retry"].Set() {
		add(sortie.WithRetry(readRetry(f["retry"])))
	}
	expect := f["expect"].Text("2xx")
	if !isExpect(expect) {
		f["expect"].Fail("%q isn't a list of statuses such as 2xx or 200,404, nor any", expect)
	}
	if expect != "any" {
		add(sortie.WithExpect(expect))
	}
	add(sortie.WithRedirect(sortie.Redirect(oneOf(f["redirect"], "follow", "manual", "error"))))
}

func isExpect(text string) bool {
	if text == "any" {
		return true
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if len(item) != 3 || item[0] < '1' || item[0] > '5' || item[1:] != "xx" && strings.Trim(item[1:], "0123456789") != "" {
			return false
		}
	}
	return true
}

// readRetry reads a number of attempts, or an object as in the manifest.
func readRetry(v settings.Value) sortie.Retry {
	if _, ok := v.Raw().(map[string]any); !ok {
		return sortie.Retry{Attempts: v.Int(1, 1, maxAttempts)}
	}
	f := v.Object("attempts", "backoff", "max_backoff", "statuses")
	return sortie.Retry{
		Attempts:   f["attempts"].Int(1, 1, maxAttempts),
		Backoff:    f["backoff"].Duration(100*time.Millisecond, maxDuration),
		MaxBackoff: f["max_backoff"].Duration(2*time.Second, maxDuration),
		Statuses:   readStatuses(f["statuses"]),
	}
}

func readStatuses(v settings.Value) []int {
	var statuses []int
	for _, item := range v.List() {
		statuses = append(statuses, item.Int(500, 100, 599))
	}
	return statuses
}

func (c *call) readShape(f map[string]settings.Value) {
	var err error
	if c.shape.target, err = parsePath(f["target"].Text("")); err != nil {
		f["target"].Fail("%s", err)
	}
	c.shape.allow = newFieldSet(f["allow"].List())
	c.shape.deny = newFieldSet(f["deny"].List())
	c.shape.rename = map[string]string{}
	for _, entry := range f["rename"].Entries() {
		c.shape.rename[entry.Name] = entry.Text("")
	}
	if f["default"].Set() {
		raw, err := json.Marshal(f["default"].Raw())
		if err != nil {
			f["default"].Fail("%s", err)
		}
		c.instead = &document{raw: raw}
	}
	c.passStatus = readStatuses(f["pass_status"])
	if len(c.passStatus) > 0 && !c.required {
		f["pass_status"].Fail("has effect only with required: true")
	}
}

// refs lists all references of the call, in a fixed order.
func (c *call) refs() []*reference {
	var refs []*reference
	if c.url != nil {
		refs = c.url.refs()
	}
	for _, templates := range []map[string]template{c.headers, c.body.form} {
		for _, name := range slices.Sorted(maps.Keys(templates)) {
			refs = append(refs, templates[name].refs()...)
		}
	}
	if c.body.json != nil {
		refs = append(refs, c.body.json.refs()...)
	}
	return append(refs, c.body.text.refs()...)
}

func (c *call) dependencies() []string {
	var names []string
	for _, ref := range c.refs() {
		if ref.source == fromCalls && !slices.Contains(names, ref.name) {
			names = append(names, ref.name)
		}
	}
	return names
}

// queryParameters are the request's query parameters that go upstream, encoded anew.
func (p *passed) queryParameters(query url.Values) []string {
	names := p.query
	if p.allQuery {
		names = slices.Sorted(maps.Keys(query))
	}
	var params []string
	for _, name := range names {
		for _, value := range query[name] {
			params = append(params, escape(name)+"="+escape(value))
		}
	}
	return params
}
