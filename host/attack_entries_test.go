package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sortie-run/sortie/host"
)

// outcome is what the guest was told of an attack.
type outcome struct {
	State, Code, Body string
	Status            int
}

// entries are the ways out of a guest.
var entries = []struct {
	name string
	raw  bool
	run  func(*testing.T, *host.Plugin, []attack) ([]outcome, *host.Report)
}{
	{"fetch_all", true, throughFetchAll},
	{"http_request", true, throughExtism},
	{"SDK", false, func(t *testing.T, p *host.Plugin, a []attack) ([]outcome, *host.Report) {
		return throughSDK(t, p, "/", a)
	}},
	{"SDK's group", false, func(t *testing.T, p *host.Plugin, a []attack) ([]outcome, *host.Report) {
		return throughSDK(t, p, "/group", a)
	}},
}

// throughFetchAll writes the JSON by hand, since encoding/json would mend text that is no UTF-8.
func throughFetchAll(t *testing.T, p *host.Plugin, attacks []attack) ([]outcome, *host.Report) {
	in := []byte(`A{"mode":"all_settled","requests":[`)
	for i, a := range attacks {
		if i > 0 {
			in = append(in, ',')
		}
		in = append(append(in, `{"url":`...), jsonText(a.url)...)
		if a.method != "" {
			in = append(append(in, `,"method":`...), jsonText(a.method)...)
		}
		if a.body != "" {
			in = append(append(in, `,"body":`...), jsonText(a.body)...)
		}
		in = append(in, `,"headers":[`...)
		for j, f := range a.header {
			if j > 0 {
				in = append(in, ',')
			}
			in = fmt.Appendf(in, "[%s,%s]", jsonText(f.Name), jsonText(f.Value))
		}
		in = append(in, "]}"...)
	}
	body, report := invoke(t, p, string(append(in, "]}"...)))
	answer := fromJSON[allAnswer](t, body)
	if answer.Error.Code != "" {
		t.Fatalf("fetch_all as a whole: %+v", answer.Error)
	}
	outcomes := make([]outcome, len(answer.Results))
	for i, r := range answer.Results {
		outcomes[i] = outcome{State: r.Status, Code: r.Error.Code, Status: r.Response.Status, Body: r.Response.Body}
	}
	return outcomes, report
}

// throughExtism takes the code from the report, for Extism's own call has no place for it.
func throughExtism(t *testing.T, p *host.Plugin, attacks []attack) ([]outcome, *host.Report) {
	calls := make([][2][]byte, len(attacks))
	for i, a := range attacks {
		in := fmt.Appendf(nil, `{"url":%s,"method":%s,"headers":{`, jsonText(a.url), jsonText(a.method))
		for j, f := range a.header {
			if j > 0 {
				in = append(in, ',')
			}
			in = fmt.Appendf(in, "%s:%s", jsonText(f.Name), jsonText(f.Value))
		}
		calls[i] = [2][]byte{append(in, "}}"...), []byte(a.body)}
	}
	in, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	body, report := invoke(t, p, "E"+string(in))
	answers := fromJSON[[]struct {
		None   bool
		Status int
		Body   string
	}](t, objects(t, body))
	outcomes := make([]outcome, len(answers))
	for i, a := range answers {
		o := outcome{State: "fulfilled", Status: a.Status, Body: a.Body}
		if a.None && a.Status == 0 && i < len(report.Fetches) {
			o.State, o.Code = "rejected", string(report.Fetches[i].Code)
		}
		outcomes[i] = o
	}
	return outcomes, report
}

// objects gives the triples of rawAttacker names.
func objects(t *testing.T, body string) string {
	triples := fromJSON[[][3]json.RawMessage](t, body)
	var b bytes.Buffer
	for i, v := range triples {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"None":%s,"Status":%s,"Body":%s}`, v[0], v[1], v[2])
	}
	return "[" + b.String() + "]"
}

func throughSDK(t *testing.T, p *host.Plugin, path string, attacks []attack) ([]outcome, *host.Report) {
	type request struct {
		Method, URL, Body []byte
		Header            [][2][]byte
	}
	list := make([]request, len(attacks))
	for i, a := range attacks {
		list[i] = request{Method: []byte(a.method), URL: []byte(a.url)}
		if a.body != "" {
			list[i].Body = []byte(a.body)
		}
		for _, f := range a.header {
			list[i].Header = append(list[i].Header, [2][]byte{[]byte(f.Name), []byte(f.Value)})
		}
	}
	in, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	body, report, err := try(p, string(in), path)
	if err != nil {
		t.Fatalf("%v\nlog: %v", err, report.Logs)
	}
	return fromJSON[[]outcome](t, body), report
}

// jsonText is s as a JSON string, byte for byte, even where it is no UTF-8.
func jsonText(s string) []byte {
	out := []byte{'"'}
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
