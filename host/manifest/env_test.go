package manifest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplyEnv(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("plugins: {search-web: {invocations: 5}}\nprivate: [10.0.0.0/8]\nprocess: {queue: 7, fetches: 8}\nlog: {level: debug}"))
	if err != nil {
		t.Fatal(err)
	}
	err = o.ApplyEnv([]string{
		"SORTIE_ADDR=0.0.0.0:9000", "PORT=1", "HOME=/root", "SORTIE_PROCESS__PER_ORIGIN=64", "SORTIE_PROCESS__QUEUE=9",
		"SORTIE_PROCESS__MEMORY=1GiB", "SORTIE_PROCESS__DRAIN=5s", "SORTIE_LOG__FORMAT=text", "SORTIE_LOG__LEVEL=",
		"SORTIE_PRIVATE=http://127.0.0.1:*, 192.168.0.0/16,", "SORTIE_HOSTS__DENY=evil.test",
		"SORTIE_CEILINGS__FETCH__LIMITS__REQUESTS=0", "SORTIE_CEILINGS__LIMITS__MEMORY=1048576",
		"SORTIE_DNS__TTL=0s", "SORTIE_DNS__ENTRIES=7", "SORTIE_DEFAULTS__FETCH__HEDGE=p95", "SORTIE_DEFAULTS__FETCH__CACHE__BYTES=1MiB",
		"SORTIE_CEILINGS__FETCH__CACHE__BYTES=2MiB", "SORTIE_DEFAULTS__LIMITS__WALL=7s", "SORTIE_DEFAULTS__FETCH__ALLOW=https://a.test,https://b.test", "SORTIE_DEFAULTS__CONFIG__REGION=eu",
		"SORTIE_PLUGINS__SEARCH_WEB__RATE=10/s",
		"SORTIE_SECRETS__API_KEY__FILE=/run/key", "SORTIE_SECRETS__API_KEY__ALLOW=https://a.test", "SORTIE_SECRETS__API_KEY__PLUGINS=prices,search-*",
		"SORTIE_TOKEN=x", "SORTIE_SERVER=x", "SORTIE_ADMIN_TOKEN=x", "SORTIE_CONFIG=x",
		"SORTIE_PORT=tcp://10.0.0.1:80", "SORTIE_PORT_80_TCP=x", "SORTIE_SERVICE_HOST=10.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Process{Invocations: 256, Queue: 9, Fetches: 8, PerOrigin: 64, Memory: 1 << 30, Drain: 5e9}
	if o.Addr != "0.0.0.0:9000" || o.Process != want || o.Log != (Log{Level: "debug", Format: "text"}) {
		t.Errorf("%+v", o)
	}
	if o.DNS != (DNS{0, 7}) || o.Defaults.Fetch.Hedge != HedgeP95 || o.Defaults.Fetch.Cache.Bytes != 1<<20 || o.Ceilings.Fetch.Cache.Bytes != 2<<20 {
		t.Errorf("%+v, %+v, %+v", o.DNS, o.Defaults.Fetch, o.Ceilings.Fetch)
	}
	if diff := cmp.Diff([]string{"http://127.0.0.1:*", "192.168.0.0/16"}, o.Private); diff != "" {
		t.Error(diff)
	}
	if o.Ceilings.Limits.Memory != 1<<20 || o.Defaults.Limits.Wall != 7e9 || len(o.Defaults.Fetch.Allow) != 2 || o.Defaults.Config["region"] != "eu" || o.Hosts.Deny[0] != "evil.test" {
		t.Errorf("%+v", o)
	}
	if m, _, err := o.ManifestFor("a", nil); err != nil || m.Fetch.Limits.Requests != 0 {
		t.Errorf("a ceiling of zero: %v, %v", m, err)
	}
	if got := o.Plugins["search-web"]; got.Invocations != 5 || got.Rate != "10/s" {
		t.Errorf("%+v", o.Plugins)
	}
	secret := OperatorSecret{File: "/run/key", Allow: []string{"https://a.test"}, Plugins: []string{"prices", "search-*"}}
	if diff := cmp.Diff(map[string]OperatorSecret{"API_KEY": secret}, o.Secrets); diff != "" {
		t.Error(diff)
	}
}

// TestPort: PORT comes after everything but the default.
func TestPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file    string
		environ []string
		want    string
	}{
		{"", nil, "127.0.0.1:8080"},
		{"", []string{"PORT=3000"}, "127.0.0.1:3000"},
		{"", []string{"PORT="}, "127.0.0.1:8080"},
		{"addr: 127.0.0.1:8080", []string{"PORT=3000"}, "127.0.0.1:8080"},
		{"", []string{"PORT=3000", "SORTIE_ADDR=:9000"}, ":9000"},
		{"addr: 127.0.0.1:7000", []string{"SORTIE_ADDR=:9000"}, ":9000"},
	} {
		o, err := ParseOperator([]byte(tt.file))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.ApplyEnv(tt.environ); err != nil {
			t.Fatal(err)
		}
		if o.Addr != tt.want {
			t.Errorf("%q %q: %s, want %s", tt.file, tt.environ, o.Addr, tt.want)
		}
	}
}

func TestApplyEnvErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ variable, want string }{
		{"SORTIE_ADR=:80", `SORTIE_ADR: adr: unknown key; did you mean "addr"?`},
		{"SORTIE_PROCESS__PERORIGIN=1", `SORTIE_PROCESS__PERORIGIN: process.perorigin: unknown key; did you mean "per_origin"?`},
		{"SORTIE_PROCESS_PER_ORIGIN=1", `SORTIE_PROCESS_PER_ORIGIN: process_per_origin: unknown key; did you mean "process.per_origin"?`},
		{"SORTIE_PROCESS=1", `SORTIE_PROCESS: process: "1" is text, where a mapping is needed`},
		{"SORTIE_PROCESS__QUEUE=many", `SORTIE_PROCESS__QUEUE: process.queue: "many" is text, where a whole number is needed`},
		{"SORTIE_PROCESS__QUEUE=-1", "SORTIE_PROCESS__QUEUE: process.queue: -1; it is 0 to 2147483647"},
		{"SORTIE_PROCESS__DRAIN=5", "SORTIE_PROCESS__DRAIN: process.drain: 5 without a unit; write 5s or 5ms, for example"},
		{"SORTIE_PROCESS__MEMORY=x", `SORTIE_PROCESS__MEMORY: process.memory: "x" is not a size; write 1MiB, 64KiB or a number of bytes, for example`},
		{"SORTIE_ADDR__X=1", `SORTIE_ADDR__X: addr: a mapping, where text is needed`},
		{"SORTIE_PRIVATE=10.0.0.0/8,x", `SORTIE_PRIVATE: private[1]: "x" is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8`},
		{"SORTIE_SECRETS__K__ENV=A", "SORTIE_SECRETS__K__ENV: secrets.K.allow: missing; a secret needs `allow`, where it may be sent\n" +
			"SORTIE_SECRETS__K__ENV: secrets.K.plugins: missing; a secret needs `plugins`, who may use it"},
		{"SORTIE_DNS__TTL=2h", "SORTIE_DNS__TTL: dns.ttl: 2h; it is 0s to 1h"},
		{"SORTIE_UPSTREAMS__PROXY=http://p", "SORTIE_UPSTREAMS__PROXY: upstreams: a mapping, where a list is needed"},
		{"SORTIE_UPSTREAMS=http://user:hunter2@p", `SORTIE_UPSTREAMS: upstreams[0]: "http://…@p" is text, where a mapping is needed`},
		{"PORT=http", `PORT: addr: "http" is not a port, 0 to 65535`},
	} {
		o := DefaultOperator()
		err := o.ApplyEnv([]string{tt.variable, "SORTIE_LOG__LEVEL=debug"})
		var all Errors
		if !errors.As(err, &all) {
			t.Errorf("%s: %v", tt.variable, err)
			continue
		}
		if got := all.In("my.yaml").Error(); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.variable, got, tt.want)
		}
		if diff := cmp.Diff(DefaultOperator(), o, sameOperator); diff != "" {
			t.Errorf("%s: changed in spite of the error: %s", tt.variable, diff)
		}
	}
}
