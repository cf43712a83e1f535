package manifest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

func TestSources(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("process:\n  queue: 7\n  fetches: 8\nplugins: {\"search-*\": {rate: 1/s}}\nprivate:\n - 10.0.0.0/8\n" +
		"upstreams: [{match: [\"https://a.test\"]}]\nceilings: {}\ndefaults: {config: {\"a.b\": {c: 1}}}\nhosts: {deny: [a.test]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.ApplyEnv([]string{"SORTIE_PROCESS__QUEUE=9", "SORTIE_PRIVATE=::1", "PORT=3000", "SORTIE_LOG__LEVEL=", "SORTIE_TLS__CERT=a", "SORTIE_TLS__KEY=b"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range o.Sources() {
		got = append(got, fmt.Sprintf("%s %s:%d", s.Key, s.File, s.Line))
	}
	want := []string{
		"addr PORT:0", "ceilings sortie.yaml:8", "defaults.config sortie.yaml:9", "hosts.deny sortie.yaml:10",
		"plugins.search-*.rate sortie.yaml:4", "private SORTIE_PRIVATE:0", "process.fetches sortie.yaml:3", "process.queue SORTIE_PROCESS__QUEUE:0",
		"tls.cert SORTIE_TLS__CERT:0", "tls.key SORTIE_TLS__KEY:0", "upstreams sortie.yaml:7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(DefaultOperator().Sources()) != 0 {
		t.Error("a default has a source")
	}
}

// TestOperatorWritten: the configuration in force, written out, means the same.
func TestOperatorWritten(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", seed(t, "sortie.yaml"), strings.ReplaceAll(seed(t, "upstreams.yaml"), "user:hunter2@", ""),
		"retention: {age: 24h}\ntls: {cert: a, key: b}\ntrusted_proxies: [10.0.0.0/8]\nsignatures: {keys: [" + publicKey + "]}\n" +
			"plugins: {a: {quota: {requests: 5000000000, egress: 1GiB}, ceilings: {fetch: {limits: {requests: 0}}}}}\n" +
			"defaults: {smoke: {headers: {A: b}}, sticky: {cookie: c}, cors: {origins: [\"https://a.test\"]}, limits: {wall: 7s}}\n",
	} {
		o, err := ParseOperator([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, written := range [][]byte{asJSON, asYAML} {
			again, err := ParseOperator(written)
			if err != nil {
				t.Fatalf("%s\n%s", err, written)
			}
			if diff := cmp.Diff(o, again, sameOperator); diff != "" {
				t.Errorf("%s\n%s", diff, written)
			}
			if got, want := again.Rules("a").Ceilings, o.Rules("a").Ceilings; cmp.Diff(want.zero, got.zero) != "" {
				t.Errorf("%v, want %v", got.zero, want.zero)
			}
		}
	}
}
