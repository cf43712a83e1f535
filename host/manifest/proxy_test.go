package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestCheckProxy(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"http://proxy.corp:3128", "https://proxy.corp", "socks5://proxy.corp:1080", "HTTP://Proxy.corp/", "http://127.0.0.1:1", "http://[::1]:3128",
		"http://[fe80::1%25eth0]:3128", "http://user:pass@proxy.corp", "http://token@proxy.corp", "http://us%40er:p%2Fass@proxy.corp",
		"socks5://user@proxy.corp", "socks5://user:" + strings.Repeat("x", 255) + "@proxy.corp", "http://bücher.example:3128",
	} {
		if wrong := checkProxy(good); wrong != "" {
			t.Errorf("%s: %s", good, wrong)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"proxy.corp:3128", "not a proxy"},
		{"//user:hunter2@p", "not a proxy"},
		{"ftp://user:hunter2@p", "not a proxy"},
		{"socks4://user:hunter2@p", "not a proxy"},
		{"socks5h://user:hunter2@p", "not a proxy"},
		{"http:user:hunter2@p", "not a proxy"},
		{"http://", "not a proxy"},
		{"http://user:hunter2@", "not a proxy"},
		{"http://user:hunter2@:3128", "not a proxy"},
		{"http://user:hunter2@p q", "not a proxy"},
		{"http://user:hun/ter2@p", "not a proxy"},
		{"http://user:hunter2@p:http", "not a proxy"},
		{"http://user:hunter2@p\n", "not a proxy"},
		{"http://user:hunter2@p/path", "nothing after them"},
		{"http://user:hunter2@p?", "nothing after them"},
		{"http://user:hunter2@p#", "nothing after them"},
		{"http://user:hunter2@*.p", "not a valid name"},
		{"http://user:hunter2@a..b", "not a valid name"},
		{"http://user:hunter2@p:", "a colon without a port"},
		{"http://user:hunter2@p:0", "1 to 65535"},
		{"http://user:hunter2@p:65536", "1 to 65535"},
		{"socks5://:hunter2@p", "a user name"},
		{"socks5://user:hunter2" + strings.Repeat("x", 255) + "@p", "255 bytes"},
		{"socks5://" + strings.Repeat("x", 256) + ":hunter2@p", "255 bytes"},
		{"http://user:hunter2@" + strings.Repeat("x", maxPatternBytes), "2048 at most"},
	} {
		wrong := checkProxy(tt.in)
		if !strings.Contains(wrong, tt.want) || strings.Contains(wrong, "ter2") {
			t.Errorf("%.60s: %q, want %q", tt.in, wrong, tt.want)
		}
	}
}

// TestPasswordInErrors: wherever a proxy was put by mistake, the error doesn't
// repeat its password.
func TestPasswordInErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("hunter2", 20)
	for _, proxy := range []string{"http://user:hunter2@p", "http://user:hun/hunter2@p", "http://user:hunter 2@p", "http://hunter2@p", "http://user:" + long + "@p"} {
		for _, in := range []string{
			"upstreams: %q", "upstreams: [%q]", "upstreams: [{match: [%q]}]", "upstreams: [{match: %q}]", "upstreams: [{%q: 1}]", "upstreams: [{tls: %q}]",
			"upstreams: [{rate: %q}]", "upstreams: [{breaker: {window: %q}}]", "upstreams: [{breaker: {failures: %q}}]", "upstreams: [{tls: {min_version: %q}}]",
			"addr: %q", "private: [%q]", "hosts: {deny: [%q]}", "log: {level: %q}", "dns: {ttl: %q}", "process: {memory: %q}", "%q: 1", "plugins: {%q: {}}", "secrets: {%q: {}}",
			"upstreams: [{match: [\"https://a.test/x\"], proxy: %q}]", "defaults: {fetch: {allow: [%q]}}", "defaults: {fetch: {hedge: %q}}",
		} {
			in = fmt.Sprintf(in, proxy)
			if _, err := ParseOperator([]byte(in)); err == nil {
				t.Errorf("%s: accepted", in)
			} else if strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: %s", in, err)
			}
		}
		for _, variable := range []string{"SORTIE_UPSTREAMS", "SORTIE_UPSTREAMS__PROXY", "SORTIE_DNS__TTL", "SORTIE_PROXY", "SORTIE_ADDR"} {
			if err := DefaultOperator().ApplyEnv([]string{variable + "=" + proxy}); err == nil || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: %v", variable, err)
			}
		}
	}
	for _, in := range []string{
		"upstreams:\n  - proxy: http://user:hunter2@p: x\n", "upstreams:\n  - proxy: *http://user:hunter2@p\n", "upstreams:\n  - proxy: !http://user:hunter2@p x\n",
		"upstreams:\n  - proxy: \"http://user:hunter2@p\n", "upstreams:\n  - proxy: {http://user:hunter2@p}\n", "{\"upstreams\": [\"http://user:hunter2@p\"]}",
	} {
		if _, err := ParseOperator([]byte(in)); err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestPasswordIsNotShown: whichever way a configuration is printed.
func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(seed(t, "upstreams.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if o.Upstreams[0].Proxy != "http://user:hunter2@proxy.corp:3128" {
		t.Fatal("the proxy lost its password")
	}
	var shown bytes.Buffer
	for _, v := range []any{o, *o, o.Upstreams, o.Upstreams[0], &o.Upstreams[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
			data, err := marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			shown.Write(data)
		}
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "v", v)
	}
	if text := shown.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, `"proxy":"http://…@proxy.corp:3128"`) {
		t.Errorf("%s", text)
	}
}
