package manifest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClamp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, operator, manifest string
		want                     []Clamped
	}{
		{"the defaults are below their ceilings", "", "name: a", nil},
		{
			"what is listed", "ceilings: {fetch: {limits: {requests: 1000, timeout: 60s}}, limits: {memory: 256MiB}}",
			"name: a\nfetch: {limits: {requests: 5000, timeout: 1m}}\nlimits: {memory: 1GiB}",
			[]Clamped{{"fetch.limits.requests", "5000", "1000"}, {"limits.memory", "1GiB", "256MiB"}},
		},
		{
			"sixteen times the default, where nothing is listed", "",
			"name: a\nfetch: {limits: {requests: 1025, redirects: 160, response_bytes: 1GiB}, retry: {attempts: 17, backoff: 2s}}\nlimits: {wall: 480s, cpu: 17s}",
			[]Clamped{
				{"fetch.limits.requests", "1025", "1024"}, {"fetch.limits.response_bytes", "1GiB", "128MiB"},
				{"fetch.retry.attempts", "17", "16"}, {"fetch.retry.backoff", "2s", "1.6s"}, {"limits.cpu", "17s", "16s"},
			},
		},
		{"no limit by default has no ceiling", "", "name: a\nfetch: {limits: {attempt_timeout: 100h}}", nil},
		{
			"no limit passes a ceiling", "ceilings: {fetch: {limits: {attempt_timeout: 5s}}}", "name: a\nfetch: {limits: {attempt_timeout: 0s}}",
			[]Clamped{{"fetch.limits.attempt_timeout", "0s", "5s"}},
		},
		{"a ceiling of no limit is none", "ceilings: {fetch: {limits: {attempt_timeout: 0}}}", "name: a\nfetch: {limits: {attempt_timeout: 5s}}", nil},
		{
			"a ceiling of zero is one", "ceilings: {fetch: {limits: {redirects: 0}}}", "name: a\nfetch: {limits: {redirects: 3}}",
			[]Clamped{{"fetch.limits.redirects", "3", "0"}},
		},
		{"a default above a ceiling was not asked for", "ceilings: {limits: {wall: 5s}}", "name: a", nil},
		{"an operator's higher default is meant", "defaults: {limits: {wall: 1000s}}", "name: a\nlimits: {wall: 900s}", nil},
		{
			"a plugin's own ceilings", "ceilings: {limits: {wall: 100s, cpu: 5s}}\nplugins: {\"a*\": {ceilings: {limits: {wall: 50s, cpu: 9s}}}, b: {ceilings: {limits: {wall: 1s}}}}",
			"name: ab\nlimits: {wall: 200s, cpu: 20s}",
			[]Clamped{{"limits.wall", "3m20s", "50s"}, {"limits.cpu", "20s", "5s"}},
		},
		{
			"a cache, off by default, has a ceiling of its own", "", "name: a\nfetch: {cache: {bytes: 65MiB}}",
			[]Clamped{{"fetch.cache.bytes", "65MiB", "64MiB"}},
		},
		{"a ceiling of zero is no cache", "ceilings: {fetch: {cache: {bytes: 0}}}", "name: a\nfetch: {cache: {bytes: 1B}}", []Clamped{{"fetch.cache.bytes", "1B", "0B"}}},
		{"a higher ceiling of a cache", "ceilings: {fetch: {cache: {bytes: 1GiB}}}", "name: a\nfetch: {cache: {bytes: 1GiB}}", nil},
		{"an operator's higher default of a cache", "defaults: {fetch: {cache: {bytes: 1GiB}}}", "name: a\nfetch: {cache: {bytes: 1GiB}}", nil},
		{
			"a plugin's own ceiling of a cache", "ceilings: {fetch: {cache: {bytes: 1GiB}}}\nplugins: {a: {ceilings: {fetch: {cache: {bytes: 8MiB}}}}}", "name: a\nfetch: {cache: {bytes: 1GiB}}",
			[]Clamped{{"fetch.cache.bytes", "1GiB", "8MiB"}},
		},
		{"public without consent", "plugins: {b: {access: public}}", "name: a\naccess: public", []Clamped{{"access", "public", "token"}}},
		{"public with consent", "plugins: {a: {access: public}}", "name: a\naccess: public", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, err := ParseOperator([]byte(tt.operator))
			if err != nil {
				t.Fatal(err)
			}
			m, clamped, err := o.Manifest([]byte(tt.manifest))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, clamped); diff != "" {
				t.Error(diff)
			}
			// What was clamped is in force, and nothing is clamped twice.
			values := map[string]string{"access": m.Access}
			for _, l := range m.LimitList() {
				values[l.Key] = l.Value
			}
			for _, c := range clamped {
				if values[c.Key] != c.Got {
					t.Errorf("%s is %s, not %s", c.Key, values[c.Key], c.Got)
				}
			}
			canonical, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, again, err := o.Manifest(canonical); err != nil || len(again) > 0 {
				t.Errorf("clamped a second time: %v, %v", again, err)
			}
		})
	}
}

func TestClampLowersDefaults(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("ceilings: {limits: {wall: 5s, memory: 64MiB}}"))
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := o.Manifest([]byte("name: a"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Limits.Wall != 5e9 || m.Limits.Memory != 64<<20 {
		t.Errorf("%+v", m.Limits)
	}
	if o.Defaults.Limits.Wall != 30e9 {
		t.Error("the operator's defaults were changed")
	}
}

// TestAmountTable: every amount of the types is in the table, so that none goes
// unchecked or without a ceiling.
func TestAmountTable(t *testing.T) {
	t.Parallel()
	table := map[string]bool{}
	for _, a := range amountTable() {
		table[a.key] = true
	}
	for _, key := range leafKeys(t, Ceilings{}) {
		if !table[key] {
			t.Errorf("%s is in no table", key)
		}
		delete(table, key)
	}
	for key := range table {
		t.Errorf("%s is no key of a ceiling", key)
	}
	if len(Default().LimitList()) != len(amountTable()) {
		t.Error("LimitList leaves some out")
	}
}

func TestCeilingsJSON(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte("ceilings: {fetch: {limits: {requests: 0, timeout: 90s}}, limits: {log: 1KiB}}"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(o.Ceilings)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"fetch":{"limits":{"requests":0,"timeout":"1m30s"}},"limits":{"log":"1KiB"}}`
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestEffectiveLimitsJSON(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(Default().EffectiveLimits())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"fetch":{"limits":{"requests":64,"concurrency":16,"timeout":"10s","connect_timeout":"3s","write_timeout":"10s","read_timeout":"10s",` +
		`"pool_timeout":"5s","attempt_timeout":"0s","request_bytes":"1MiB","response_bytes":"8MiB","total_bytes":"32MiB","redirects":10}},` +
		`"limits":{"wall":"30s","stream":"5m","cpu":"1s","memory":"128MiB","input":"1MiB","output":"16MiB","log":"64KiB"}}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
