package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// newHost is a fake host with that configuration and those upstreams.
func newHost(t *testing.T, config string, replies map[string]sortietest.Reply) *sortietest.Host {
	t.Helper()
	h := sortietest.New(t)
	var decoded map[string]any
	if err := json.Unmarshal([]byte(config), &decoded); err != nil {
		t.Fatalf("the test's configuration: %v", err)
	}
	h.Config(decoded)
	for _, pattern := range slices.Sorted(maps.Keys(replies)) {
		h.Reply(pattern, replies[pattern])
	}
	return h
}

func invoke(t *testing.T, h *sortietest.Host, method, target string, with ...sortietest.With) *sortie.Response {
	t.Helper()
	resp, err := h.Invoke(method, target, with...)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantAnswer compares a JSON body member by member: the order of members is of no account.
func wantAnswer(t *testing.T, resp *sortie.Response, status int, want string) {
	t.Helper()
	got, err := encodeJSON(decodeValue(resp.Body))
	if err != nil {
		t.Fatal(err)
	}
	expected, err := encodeJSON(decodeValue([]byte(want)))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != status || string(got) != string(expected) {
		t.Errorf("got  %d %s\nwant %d %s", resp.Status, got, status, expected)
	}
}

const twoCalls = `{"calls":{
	"user":{"url":"https://api.example.com/users/1"},
	"orders":{"url":"https://api.example.com/orders?user=1"}}}`

func TestAnswers(t *testing.T) {
	t.Parallel()
	user := sortietest.Reply{JSON: map[string]any{"id": 1, "name": "Ann", "password": "x", "address": map[string]any{"city": "Bern", "zip": "3000"}}}
	orders := sortietest.Reply{Header: map[string]string{"content-type": "application/json"},
		Body: `{"data":{"items":[{"id":9007199254740993,"price":10.50,"note":"a"},{"id":2,"price":1e-7,"note":"b"}]}}`}
	upstreams := map[string]sortietest.Reply{
		"https://api.example.com/users/1": user,
		"https://api.example.com/orders":  orders,
		"https://api.example.com/text":    {Body: "hello <b>", Header: map[string]string{"content-type": "text/plain"}},
		"https://api.example.com/empty":   {Status: 204},
		"https://api.example.com/broken":  {Body: `{"a":`, Header: map[string]string{"content-type": "application/json"}},
		"https://api.example.com/down":    {Code: "connect_error"},
		"https://api.example.com/503":     {Status: 503, Body: "busy"},
		"https://api.example.com/404":     {Status: 404, Body: `{"none":true}`, Header: map[string]string{"content-type": "application/json"}},
	}
	tests := []struct {
		name, config, target string
		status               int
		want                 string
	}{
		{"every call under its name", twoCalls, "/", 200,
			`{"user":{"id":1,"name":"Ann","password":"x","address":{"city":"Bern","zip":"3000"}},
			"orders":{"data":{"items":[{"id":9007199254740993,"price":10.50,"note":"a"},{"id":2,"price":1e-7,"note":"b"}]}}}`},
		{"fields, renamed, beside static values", `{"calls":{"user":{"url":"https://api.example.com/users/1"},"orders":{"url":"https://api.example.com/orders"}},
			"response":{"who":"{calls.user.name}","ids":"{calls.orders.data.items[*].id}","first":"{calls.orders.data.items[0].price}",
				"line":"{calls.user.name} of {calls.user.address.city}","none":"{calls.user.nothing}","or":"{calls.user.nothing|[]}",
				"version":2,"flags":[true,null,"{{x}}"]}}`, "/", 200,
			`{"who":"Ann","ids":[9007199254740993,2],"first":10.50,"line":"Ann of Bern","none":null,"or":[],"version":2,"flags":[true,null,"{x}"]}`},
		{"merged", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["id","name"]},"orders":{"url":"https://api.example.com/orders","target":"data"}},
			"response":{"*":["{calls.user}","{calls.orders}"],"id":"mine"}}`, "/", 200,
			`{"id":"mine","name":"Ann","items":[{"id":9007199254740993,"price":10.50,"note":"a"},{"id":2,"price":1e-7,"note":"b"}]}`},
		{"target, allow, rename", `{"calls":{"orders":{"url":"https://api.example.com/orders","target":"data.items","allow":["id","price"],"rename":{"price":"cost"}}}}`, "/", 200,
			`{"orders":[{"id":9007199254740993,"cost":10.50},{"id":2,"cost":1e-7}]}`},
		{"deny, nested", `{"calls":{"user":{"url":"https://api.example.com/users/1","deny":["password","address.zip"]}}}`, "/", 200,
			`{"user":{"id":1,"name":"Ann","address":{"city":"Bern"}}}`},
		{"allow, nested", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["address.city","name.x"]}}}`, "/", 200,
			`{"user":{"address":{"city":"Bern"}}}`},
		{"text and emptiness", `{"calls":{"t":{"url":"https://api.example.com/text"},"e":{"url":"https://api.example.com/empty"}}}`, "/", 200,
			`{"t":"hello <b>","e":null}`},
		{"a list is an answer too", `{"calls":{"t":{"url":"https://api.example.com/text"}},"response":["{calls.t}",1]}`, "/", 200, `["hello <b>",1]`},
		{"a status that is expected", `{"calls":{"n":{"url":"https://api.example.com/404","expect":"2xx,404"}}}`, "/", 200, `{"n":{"none":true}}`},
		{"any status", `{"calls":{"n":{"url":"https://api.example.com/503","expect":"any"}}}`, "/", 200, `{"n":"busy"}`},
		{"a part fails", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["id"]},"down":{"url":"https://api.example.com/down"},
			"busy":{"url":"https://api.example.com/503"}}}`, "/", 200,
			`{"user":{"id":1},"down":null,"busy":null,"partial":true,"errors":{"down":{"code":"connect_error","message":"the upstream can't be reached"},
			"busy":{"code":"http_status","message":"the upstream answered with status 503","status":503}}}`},
		{"a default stands in", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["id"]},"down":{"url":"https://api.example.com/down","default":{"n":0}}},
			"response":{"id":"{calls.user.id}","n":"{calls.down.n}"}}`, "/", 200,
			`{"id":1,"n":0,"partial":true,"errors":{"down":{"code":"connect_error","message":"the upstream can't be reached"}}}`},
		{"a broken body", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["id"]},"b":{"url":"https://api.example.com/broken"}}}`, "/", 200,
			`{"user":{"id":1},"b":null,"partial":true,"errors":{"b":{"code":"unexpected_body","message":"the body is not JSON","status":200}}}`},
		{"nothing at the target", `{"calls":{"user":{"url":"https://api.example.com/users/1","allow":["id"]},"o":{"url":"https://api.example.com/orders","target":"no.such"}}}`, "/", 200,
			`{"user":{"id":1},"o":null,"partial":true,"errors":{"o":{"code":"unexpected_body","message":"the body has nothing where the configuration looks for it","status":200}}}`},
		{"a required call fails", `{"calls":{"user":{"url":"https://api.example.com/users/1"},"down":{"url":"https://api.example.com/503","required":true}}}`, "/", 502,
			`{"type":"about:blank","title":"Bad Gateway","status":502,"code":"http_status","detail":"call down: the upstream answered with status 503","call":"down",
			"errors":{"down":{"code":"http_status","message":"the upstream answered with status 503","status":503}}}`},
		{"a status that is passed on", `{"calls":{"n":{"url":"https://api.example.com/404","required":true,"pass_status":[404,410]}}}`, "/", 404,
			`{"type":"about:blank","title":"Not Found","status":404,"code":"http_status","detail":"call n: the upstream answered with status 404","call":"n",
			"errors":{"n":{"code":"http_status","message":"the upstream answered with status 404","status":404}}}`},
		{"nothing arrives", `{"calls":{"down":{"url":"https://api.example.com/down"}}}`, "/", 502,
			`{"type":"about:blank","title":"Bad Gateway","status":502,"code":"connect_error","detail":"call down: the upstream can't be reached","call":"down",
			"errors":{"down":{"code":"connect_error","message":"the upstream can't be reached"}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, test.config, upstreams)
			resp := invoke(t, h, "GET", test.target)
			if strings.Contains(test.name, "required") { // whether the other was in time is of no account
				resp.Body = dropUser(t, resp.Body)
			}
			wantAnswer(t, resp, test.status, test.want)
			complete := test.status == 200 && !strings.Contains(test.want, `"partial"`)
			if got := resp.Header.Get(completeHeader); test.status == 200 && (got == "true") != complete {
				t.Errorf("%s: %s", completeHeader, got)
			}
			wantType := "application/json"
			if test.status != 200 {
				wantType = "application/problem+json"
			}
			if got := resp.Header.Get("content-type"); got != wantType {
				t.Errorf("content type %q, want %q", got, wantType)
			}
		})
	}
}

func dropUser(t *testing.T, body []byte) []byte {
	t.Helper()
	v := decodeValue(body)
	remove(v, &fieldSet{map[string]*fieldSet{"errors": {map[string]*fieldSet{"user": nil}}}})
	data, err := encodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestNumbersKeepTheirDigits compares bytes, where the table compares values.
func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	const body = `{"z":12345678901234567890.10,"a":1E+2,"s":"<&>"}`
	h := newHost(t, `{"calls":{"n":{"url":"https://api.example.com/n"}},"response":{"all":"{calls.n}","z":"{calls.n.z}"}}`,
		map[string]sortietest.Reply{"https://api.example.com/n": {Body: body, Header: map[string]string{"content-type": "application/json"}}})
	resp := invoke(t, h, "GET", "/")
	if want := `{"all":` + body + `,"z":12345678901234567890.10}`; string(resp.Body) != want {
		t.Errorf("got  %s\nwant %s", resp.Body, want)
	}
}

func TestCallsOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := sortietest.Reply{JSON: 1, Delay: 200 * time.Millisecond}
		h := newHost(t, `{"calls":{"a":{"url":"https://api.example.com/a"},"b":{"url":"https://api.example.com/b"},"c":{"url":"https://api.example.com/c"}}}`,
			map[string]sortietest.Reply{"https://api.example.com/*": slow})
		began := time.Now()
		wantAnswer(t, invoke(t, h, "GET", "/"), 200, `{"a":1,"b":1,"c":1}`)
		if took := time.Since(began); took != 200*time.Millisecond || h.MaxInFlight() != 3 {
			t.Errorf("took %s with %d in flight, want 200ms with 3", took, h.MaxInFlight())
		}
	})
}

// TestDependentCalls has a chain of two beside a slow call that nothing waits for: the chain doesn't wait for it either.
func TestDependentCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, `{"calls":{
			"user":{"url":"https://api.example.com/users/{query.id}"},
			"team":{"url":"https://api.example.com/teams/{calls.user.team.id}?lead={calls.user.name}"},
			"ads":{"url":"https://api.example.com/ads"}},
			"response":{"team":"{calls.team.name}","ads":"{calls.ads}"}}`,
			map[string]sortietest.Reply{
				"https://api.example.com/users/7":            {JSON: map[string]any{"name": "A&B", "team": map[string]any{"id": 3}}, Delay: 100 * time.Millisecond},
				"https://api.example.com/teams/3?lead=A%26B": {JSON: map[string]any{"name": "red"}, Delay: 100 * time.Millisecond},
				"https://api.example.com/ads":                {JSON: "ad", Delay: 200 * time.Millisecond},
			})
		began := time.Now()
		wantAnswer(t, invoke(t, h, "GET", "/?id=7"), 200, `{"team":"red","ads":"ad"}`)
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("took %s, want 200ms: the chain beside the slow call", took)
		}
	})
}

func TestDependencyFails(t *testing.T) {
	t.Parallel()
	const config = `{"calls":{
		"user":{"url":"https://api.example.com/user"%s},
		"team":{"url":"https://api.example.com/teams/{calls.user.id%s}"},
		"other":{"url":"https://api.example.com/other"}}}`
	replies := map[string]sortietest.Reply{
		"https://api.example.com/user":    {Status: 500},
		"https://api.example.com/teams/0": {JSON: "none"},
		"https://api.example.com/teams/9": {JSON: "nine"},
		"https://api.example.com/other":   {JSON: 1},
	}
	const failed = `"user":{"code":"http_status","message":"the upstream answered with status 500","status":500}`
	for name, test := range map[string]struct{ standIn, fallback, want string }{
		"neither default nor fallback": {"", "", `{"user":null,"team":null,"other":1,"partial":true,"errors":{` + failed +
			`,"team":{"code":"dependency_failed","message":"{calls.user.id}: call user failed"}}}`},
		"a fallback": {"", "|0", `{"user":null,"team":"none","other":1,"partial":true,"errors":{` + failed + `}}`},
		"a default":  {`,"default":{"id":9}`, "", `{"user":{"id":9},"team":"nine","other":1,"partial":true,"errors":{` + failed + `}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(strings.Replace(config, "%s", test.standIn, 1), "%s", test.fallback, 1)
			wantAnswer(t, invoke(t, newHost(t, text, replies), "GET", "/"), 200, test.want)
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replies := map[string]sortietest.Reply{
			"https://api.example.com/fast": {JSON: 1, Delay: 50 * time.Millisecond},
			"https://api.example.com/slow": {JSON: 2, Delay: 5 * time.Second},
		}
		const calls = `"calls":{"fast":{"url":"https://api.example.com/fast"},"slow":{"url":"https://api.example.com/slow"%s}}`
		const timeout = `{"code":"timeout","message":"no answer in time"}`
		for _, test := range []struct {
			name, extra, own string
			status           int
			took             time.Duration
			want             string
		}{
			{"what has arrived is answered", `,"deadline":"300ms"`, "", 200, 300 * time.Millisecond,
				`{"fast":1,"slow":null,"partial":true,"errors":{"slow":` + timeout + `}}`},
			{"a required call misses it", `,"deadline":"300ms"`, `,"required":true`, 504, 300 * time.Millisecond,
				`{"type":"about:blank","title":"Gateway Timeout","status":504,"code":"timeout","detail":"call slow: no answer in time","call":"slow","errors":{"slow":` + timeout + `}}`},
			{"the call's own is shorter", `,"deadline":"3s"`, `,"timeout":"100ms"`, 200, 100 * time.Millisecond,
				`{"fast":1,"slow":null,"partial":true,"errors":{"slow":` + timeout + `}}`},
			{"no deadline", `,"deadline":0`, "", 200, 5 * time.Second, `{"fast":1,"slow":2}`},
			{"time enough", `,"deadline":"6s"`, "", 200, 5 * time.Second, `{"fast":1,"slow":2}`},
		} {
			h := newHost(t, "{"+strings.Replace(calls, "%s", test.own, 1)+test.extra+"}", replies)
			began := time.Now()
			resp := invoke(t, h, "GET", "/")
			if took := time.Since(began); took != test.took {
				t.Errorf("%s: took %s, want %s", test.name, took, test.took)
			}
			wantAnswer(t, resp, test.status, test.want)
		}
	})
}

// TestWallLimit has an invocation's wall limit shorter than the deadline: the answer is out before it.
func TestWallLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, `{"deadline":"1h","calls":{"fast":{"url":"https://api.example.com/fast"},"slow":{"url":"https://api.example.com/slow"}}}`,
			map[string]sortietest.Reply{"https://api.example.com/fast": {JSON: 1}, "https://api.example.com/slow": {Delay: time.Minute}})
		h.Limit(sortietest.Limits{Wall: 2 * time.Second})
		wantAnswer(t, invoke(t, h, "GET", "/"), 200, `{"fast":1,"slow":null,"partial":true,"errors":{"slow":{"code":"timeout","message":"no answer in time"}}}`)
	})
}

// TestRequiredFailureCancels has a required call that fails at once: nobody waits for the slow one.
func TestRequiredFailureCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, `{"calls":{"a":{"url":"https://api.example.com/a","required":true},"b":{"url":"https://api.example.com/b","required":true}}}`,
			map[string]sortietest.Reply{"https://api.example.com/a": {Delay: time.Minute}, "https://api.example.com/b": {Code: "pool_timeout"}})
		began := time.Now()
		wantAnswer(t, invoke(t, h, "GET", "/"), 503, `{"type":"about:blank","title":"Service Unavailable","status":503,"code":"pool_timeout",
			"detail":"call b: no free slot in time","call":"b","errors":{"a":{"code":"cancelled","message":"cancelled, because a required call failed"},
			"b":{"code":"pool_timeout","message":"no free slot in time"}}}`)
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	h := newHost(t, twoCalls, map[string]sortietest.Reply{"https://api.example.com/*": {JSON: 1}})
	h.Limit(sortietest.Limits{Requests: 1})
	resp := invoke(t, h, "GET", "/")
	text := string(resp.Body)
	if resp.Status != 200 || strings.Count(text, `"limit_requests"`) != 1 || !strings.Contains(text, `"partial":true`) || !strings.Contains(text, ":1") {
		t.Errorf("got %d %s", resp.Status, text)
	}
}
