package host_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/manifest"
)

// The policy can't be passed: whatever a plugin asks for, in whatever spelling and by whichever way it can fetch, what the policy denies
// is denied with the contract's code, as a value, and nothing of it reaches a server or a resolver.

// siege is a policy and what is tried against it.
type siege struct {
	name string

	rules              string   // fetch.allow and what follows it under fetch, as YAML
	private            []string // the operator's
	hostsAllow, denied []string // the operator's hosts.allow, nil for all, and hosts.deny
	proxy              string   // through which the operator has all origins reached: "http", "socks5", or "" for none

	// names is what names resolve to, see zone. lure.test and example.com, which are the lure, are there without being named. No other
	// name may be looked up.
	names map[string][]string

	// attacks are denied, but for those that want nothing: they are no attacks, and show that not everything is refused.
	attacks []attack
}

// attack is one fetch. Its texts hold {c} for the tripwire's port, {l} and {s} for the lure's ports without and with TLS, {p} for the
// proxy's, and {run} for what differs each time it is made.
type attack struct {
	name   string
	url    string // with a location: the lure's origin, and maybe the beginning of a path; "" is http://lure.test:{l}
	method string
	header []fetch.Field
	body   string

	location string // where the lure redirects to
	hops     int    // redirects to the lure before that
	status   int    // of the redirect; 0: 302
	lines    string // more of its header

	want   fetch.Code // "": it goes through
	extism fetch.Code // for http_request, if it differs: "ok" goes through

	// What the lure must have got, if it goes through: "METHOD target host", and fields besides those that every request has. "": the
	// lure's own status is the answer.
	sent   string
	fields []string
}

func TestPolicyUnderSiege(t *testing.T) {
	t.Parallel()
	raw, sdk := attackers(t)
	rawWasm, sdkWasm := hosttest.Build(t, raw), hosttest.Build(t, sdk)
	sieges := slices.Concat(addressSieges(), nameSieges(), urlSieges(), pathSieges(), messageSieges(), redirectSieges(), proxySieges())
	for _, s := range sieges {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.lay(t, rawWasm, sdkWasm)
		})
	}
}

// compiling is held so that the guests are compiled once, and found in the cache by all but the first siege.
var compiling sync.Mutex

// ground is what a siege takes place on.
type ground struct {
	siege    *siege
	tripwire *tripwire
	lure     *lure
	proxy    *wiretap // may be nil
	zone     *zone
	policy   *policy.Policy // as `sortie explain` asks it
	raw      *host.Plugin
	sdk      *host.Plugin
	runs     int
}

func (s *siege) lay(t *testing.T, rawWasm, sdkWasm []byte) {
	l := newLure(t)
	g := &ground{siege: s, tripwire: newTripwire(t, l.port), lure: l, zone: &zone{names: map[string][]string{
		"lure.test": {"127.0.0.1"}, "example.com": {"127.0.0.1"},
	}}}
	for name, answers := range s.names {
		g.zone.names[name] = answers
	}
	if s.proxy != "" {
		g.proxy = newWiretap(t, s.proxy, l)
	}
	g.load(t, rawWasm, sdkWasm)
	var peaceful []attack
	for i, a := range s.attacks {
		g.explain(t, g.ready(a, i))
		if a.want == "" {
			peaceful = append(peaceful, a)
		}
	}
	if len(peaceful) == 0 {
		t.Fatal("nothing goes through: that everything is denied says nothing")
	}
	for _, entry := range entries {
		p := g.sdk
		if entry.raw {
			p = g.raw
		}
		g.attempt(t, entry.name, p, entry.run, s.attacks)
		g.attempt(t, entry.name+", afterwards", p, entry.run, peaceful)
	}
	if seen := g.tripwire.touched(t); len(seen) > 0 {
		t.Errorf("the tripwire was touched %d times: %s", len(seen), strings.Join(seen, "\n"))
	}
	if names := g.zone.unasked(); len(names) > 0 {
		t.Errorf("looked up: %q", names)
	}
	if g.proxy != nil {
		g.proxy.check(t)
	}
}

func (g *ground) load(t *testing.T, rawWasm, sdkWasm []byte) {
	op := manifest.DefaultOperator()
	for _, text := range g.siege.private {
		op.Private = append(op.Private, g.fill(text))
	}
	op.Hosts.Deny = g.siege.denied
	if g.siege.hostsAllow != nil {
		op.Hosts.Allow = g.siege.hostsAllow
	}
	cfg := fetch.Config{Resolver: g.zone, TLS: g.lure.tls()}
	cfg.DNS.TTL = -1
	if g.proxy != nil {
		cfg.Upstreams = []fetch.Upstream{g.proxy.upstream(t)}
	}
	engine := fetch.New(cfg)
	compiling.Lock()
	defer compiling.Unlock()
	rt, err := host.New(context.Background(), host.Config{Engine: engine, Operator: op, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	rt.Unstrained()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := rt.Close(ctx); err != nil {
			t.Error(err)
		}
		engine.Close()
	})
	m, err := manifest.Parse([]byte(g.fill(`
entry: handle
limits: {wall: 60s, cpu: 10s, log: 1MiB, input: 8MiB}
fetch:
  limits: {requests: 1000, timeout: 30s, pool_timeout: 30s, connect_timeout: 10s}
  retry: {attempts: 3, backoff: 1ms, max_backoff: 1ms, statuses: [503]}
  allow:
` + g.siege.rules)))
	if err != nil {
		t.Fatal(err)
	}
	if g.policy, err = policy.New(policy.Config{
		Rules: m.Fetch.Allow, Private: op.Private, HostsAllow: op.Hosts.Allow, HostsDeny: op.Hosts.Deny,
	}); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		plugin **host.Plugin
		wasm   []byte
	}{{&g.raw, rawWasm}, {&g.sdk, sdkWasm}} {
		if *one.plugin, err = rt.Load(context.Background(), host.Source{Name: "attacker", Version: 1, Wasm: one.wasm, Manifest: m}); err != nil {
			t.Fatal(err)
		}
	}
}

// fill puts in what is known only now.
func (g *ground) fill(text string) string {
	pairs := []string{"{c}", g.tripwire.port, "{l}", g.lure.port, "{s}", g.lure.secure, "{run}", strconv.Itoa(g.runs)}
	if g.proxy != nil {
		pairs = append(pairs, "{p}", g.proxy.port)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// attempt makes all the attacks in one invocation.
func (g *ground) attempt(
	t *testing.T, entry string, p *host.Plugin, run func(*testing.T, *host.Plugin, []attack) ([]outcome, *host.Report), attacks []attack,
) {
	t.Helper()
	g.runs++
	ready := make([]attack, len(attacks))
	for i, a := range attacks {
		ready[i] = g.ready(a, i)
	}
	outcomes, report := run(t, p, ready)
	if report.Code != "" || len(outcomes) != len(ready) || len(report.Fetches) != len(ready) {
		t.Fatalf("%s: %d attacks, %d outcomes, %d in the report, which says %q %s", entry, len(ready), len(outcomes), len(report.Fetches),
			report.Code, report.Detail)
	}
	for i, a := range ready {
		where := fmt.Sprintf("%s: %s (%.200q)", entry, a.name, a.url+a.location)
		want := a.want
		if strings.HasPrefix(entry, "http_request") && a.extism != "" {
			want = a.extism
		}
		if want == failure.ConnectError && g.proxy != nil {
			want = failure.ProxyError // it is the proxy that can't connect
		}
		record := report.Fetches[i]
		if want == "" || want == "ok" {
			status := http.StatusOK
			if a.sent == "" {
				status = a.status
			}
			if o := outcomes[i]; o.State != "fulfilled" || o.Code != "" || o.Status != status || record.Code != "" {
				t.Errorf("%s: %+v, %s %s; want it to go through", where, o, record.Code, record.Message)
			} else if problem := arrived(a, o.Body); problem != "" {
				t.Errorf("%s: %s", where, problem)
			}
			continue
		}
		if o := outcomes[i]; o.State != "rejected" || o.Code != string(want) || o.Status != 0 || o.Body != "" || record.Code != want {
			t.Errorf("%s: %+v, in the report %s %s; want %s", where, outcomes[i], record.Code, record.Message, want)
		}
		for _, x := range record.Exchanges {
			if want == failure.ConnectError || want == failure.ProxyError {
				continue
			}
			if (x.Phases.Connect >= 0 || x.Protocol != "") && (a.location == "" || !g.own(x.URL)) {
				t.Errorf("%s: connected to %s", where, x.URL)
			}
		}
	}
}

// explain has the policy say what becomes of an attack, as far as that can be said of a URL alone. It looks no name up, so that of a name
// it can't tell the address.
func (g *ground) explain(t *testing.T, a attack) {
	t.Helper()
	if a.location != "" || a.method != "" || a.header != nil {
		return
	}
	d := g.policy.Explain("GET", a.url)
	byName := d.Allowed && (a.want == failure.AddressDenied || a.want == failure.DNSError || a.want == failure.ConnectError)
	if d.Allowed != (d.Code == "") || d.Code != a.want && !byName {
		t.Errorf("explained: %s (%.200q): %q, want %q; %s", a.name, a.url, d.Code, a.want, d.Reason)
	}
}

// own tells whether a URL is the lure's.
func (g *ground) own(url string) bool {
	return strings.Contains(url, ":"+g.lure.port+"/") || strings.Contains(url, ":"+g.lure.secure+"/")
}

// ready is the attack with its texts filled in, and what it needs of the lure in place.
func (g *ground) ready(a attack, number int) attack {
	if a.location != "" {
		path := fmt.Sprintf("/redirect/%d/%d", g.runs, number)
		r := redirection{status: a.status, location: g.fill(a.location), hops: a.hops, header: a.lines}
		if r.status == 0 {
			r.status = http.StatusFound
		}
		g.lure.redirect(path, r)
		if a.url == "" {
			a.url = "http://lure.test:{l}"
		}
		a.url += path
	}
	a.url, a.location, a.sent, a.body = g.fill(a.url), g.fill(a.location), g.fill(a.sent), g.fill(a.body)
	a.header = slices.Clone(a.header)
	for i, f := range a.header {
		a.header[i].Value = g.fill(f.Value)
	}
	return a
}

// arrived compares what the lure got with what it should have got.
func arrived(a attack, got string) string {
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	method, rest, _ := strings.Cut(a.sent, " ")
	target, authority, _ := strings.Cut(rest, " ")
	want := append([]string{
		"Accept-Encoding: gzip, deflate, br, zstd", "Accept: */*", "Host: " + authority, "User-Agent: sortie",
	}, a.fields...)
	if a.sent == "" {
		return ""
	}
	if a.body != "" {
		want = append(want, fmt.Sprint("Content-Length: ", len(a.body)))
	}
	slices.Sort(want)
	slices.Sort(lines[1:])
	if lines[0] != method+" "+target+" HTTP/1.1" || !slices.Equal(lines[1:], want) || body != a.body {
		return fmt.Sprintf("the lure got %q, want %s %q and the body %q", got, a.sent, want, a.body)
	}
	return ""
}
