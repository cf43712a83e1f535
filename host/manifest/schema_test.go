package manifest

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// leafKeys lists the dotted keys of a type that are no mappings of fixed keys;
// items of lists and mappings are marked [] and *.
func leafKeys(t *testing.T, v any) []string {
	t.Helper()
	var keys []string
	var walk func(reflect.Type, string)
	walk = func(rt reflect.Type, key string) {
		switch {
		case rt.Kind() == reflect.Pointer:
			walk(rt.Elem(), key)
		case rt.Kind() == reflect.Slice && rt.Elem().Kind() == reflect.Struct:
			walk(rt.Elem(), key+"[]")
		case rt.Kind() == reflect.Map && rt.Elem().Kind() == reflect.Struct:
			walk(rt.Elem(), key+".*")
		case rt.Kind() != reflect.Struct:
			keys = append(keys, key)
		default:
			for _, f := range fields(rt) {
				walk(rt.Field(f.index).Type, strings.TrimPrefix(key+"."+f.name, "."))
			}
		}
	}
	walk(reflect.TypeOf(v), "")
	slices.Sort(keys)
	return keys
}

// schemaKeys lists a schema's keys in the same form, and fails for one without
// a description or that lets unknown keys pass.
func schemaKeys(t *testing.T, s map[string]any) []string {
	t.Helper()
	var keys []string
	var walk func(map[string]any, string)
	walk = func(s map[string]any, key string) {
		for _, one := range list(s["oneOf"]) {
			if one["properties"] != nil {
				s = one
			}
		}
		items, _ := s["items"].(map[string]any)
		extra, _ := s["additionalProperties"].(map[string]any)
		properties, _ := s["properties"].(map[string]any)
		switch {
		case items != nil && (items["properties"] != nil || items["oneOf"] != nil):
			walk(items, key+"[]")
		case extra["properties"] != nil:
			walk(extra, key+".*")
		case properties == nil:
			keys = append(keys, key)
		default:
			if s["additionalProperties"] != false {
				t.Errorf("%s: unknown keys pass", key)
			}
			for name, p := range properties {
				p := p.(map[string]any)
				full := strings.TrimPrefix(key+"."+name, ".")
				if text, _ := p["description"].(string); !strings.HasSuffix(text, ".") {
					t.Errorf("%s: description %q", full, text)
				}
				walk(p, full)
			}
		}
	}
	walk(s, "")
	slices.Sort(keys)
	return keys
}

func list(v any) []map[string]any {
	var out []map[string]any
	all, _ := v.([]any)
	for _, one := range all {
		out = append(out, one.(map[string]any))
	}
	return out
}

func decodeSchema(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema %v", s["$schema"])
	}
	return s
}

func TestSchemaHasEveryKey(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(leafKeys(t, Manifest{}), schemaKeys(t, decodeSchema(t, Schema()))); diff != "" {
		t.Errorf("plugin: %s", diff)
	}
	if diff := cmp.Diff(leafKeys(t, Operator{}), schemaKeys(t, decodeSchema(t, OperatorSchema()))); diff != "" {
		t.Errorf("sortie: %s", diff)
	}
}

// TestSchemaDefaults: a file with the schema's defaults alone means the same as
// an empty one.
func TestSchemaDefaults(t *testing.T) {
	t.Parallel()
	m, err := Parse(defaultsOf(t, Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), m); diff != "" {
		t.Error(diff)
	}
	o, err := ParseOperator(defaultsOf(t, OperatorSchema()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultOperator(), o, sameOperator); diff != "" {
		t.Error(diff)
	}
	if len(defaultsOf(t, Schema())) < 500 {
		t.Error("the schema has hardly any defaults")
	}
}

func defaultsOf(t *testing.T, schema []byte) []byte {
	var walk func(map[string]any) any
	walk = func(s map[string]any) any {
		properties, _ := s["properties"].(map[string]any)
		if properties == nil {
			return s["default"]
		}
		out := map[string]any{}
		for name, p := range properties {
			if v := walk(p.(map[string]any)); v != nil {
				out[name] = v
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	data, err := json.Marshal(walk(decodeSchema(t, schema)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSchemaAccepts holds the schemas to the contract's examples and to files
// with mistakes that an editor should show.
func TestSchemaAccepts(t *testing.T) {
	t.Parallel()
	plugin, operator := decodeSchema(t, Schema()), decodeSchema(t, OperatorSchema())
	for _, tt := range []struct {
		schema map[string]any
		in     string
		want   bool
	}{
		{plugin, seed(t, "plugin.yaml"), true},
		{operator, seed(t, "sortie.yaml"), true},
		{plugin, "limits: {wall: 0, memory: 1048576, input: 64kB}", true},
		{plugin, "nam: a", false},
		{plugin, "name: A", false},
		{plugin, "access: publik", false},
		{plugin, "fetch: {limits: {requsts: 1}}", false},
		{plugin, "fetch: {limits: {requests: -1}}", false},
		{plugin, "fetch: {limits: {timeout: 10}}", false},
		{plugin, "fetch: {allow: [api.example.com]}", false},
		{plugin, "fetch: {allow: [{methods: [GET]}]}", false},
		{plugin, "fetch: {allow: [{url: \"https://a.test\", method: GET}]}", false},
		{plugin, "fetch: {retry: {statuses: [99]}}", false},
		{plugin, "limits: {memory: 5 bananas}", false},
		{plugin, "secrets: [{name: K}]", false},
		{operator, "process: {queue: -1}", false},
		{operator, "plugins: {a: {rate: fast}}", false},
		{operator, "plugins: {A: {}}", false},
		{operator, "secrets: {K: {env: A, allow: [x]}}", false},
		{operator, "secrets: {K: {env: A, file: B, allow: [x], plugins: [y]}}", false},
		{operator, "defaults: {limits: {wal: 1s}}", false},
		{operator, "log: {level: loud}", false},
		{operator, seed(t, "upstreams.yaml"), true},
		{operator, "upstreams: [{rate: 1/s}]", false},
		{operator, "upstreams: [{match: [\"https://a.test\"], rate: fast}]", false},
		{operator, "upstreams: [{match: [\"https://a.test\"], proxy: \"ftp://p\"}]", false},
		{operator, "upstreams: [{match: [\"https://a.test\"], breaker: {failures: 101}}]", false},
		{operator, "upstreams: [{match: [\"https://a.test\"], tls: {min_version: \"1.1\"}}]", false},
		{operator, "dns: {entries: 0}", false},
		{plugin, "fetch: {hedge: p95, cache: {bytes: 16MiB, coalesce: true}}", true},
		{plugin, "fetch: {cache: {bytes: lots}}", false},
		{plugin, "smoke: {method: GET, path: /, headers: {a: b}, body: '', status: 200}\nsticky: {header: X-User}", true},
		{plugin, "cors: {origins: ['https://a.test'], methods: [GET], headers: [a], expose: [b], credentials: false, max_age: 10m}", true},
		{plugin, "smoke: {path: x}", false},
		{plugin, "smoke: {status: 600}", false},
		{plugin, "cors: {origins: [a.test]}", false},
		{plugin, "sticky: {query: a}", false},
		{operator, "retention: {versions: 3, age: 24h}\ntls: {cert: a, key: b}\ntrusted_proxies: [10.0.0.0/8]", true},
		{operator, "signatures: {required: true, keys: [" + publicKey + "]}\nplugins: {a: {quota: {requests: 1, egress: 1GiB, cpu: 1h}}}", true},
		{operator, "retention: {versions: 0}", false},
		{operator, "signatures: {keys: [abc]}", false},
		{operator, "plugins: {a: {quota: {requests: -1}}}", false},
	} {
		if got := accepts(t, tt.schema, plainYAML(t, tt.in)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.in, got, tt.want)
		}
	}
}
