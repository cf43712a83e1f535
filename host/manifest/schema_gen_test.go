package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write the generated schemas and golden files")

// TestSchemaIsCurrent generates both schemas and compares them with the
// committed files; with -update it writes those.
func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file      string
		committed []byte
		generate  func(*testing.T) []byte
	}{
		{"plugin.schema.json", Schema(), generatePluginSchema},
		{"sortie.schema.json", OperatorSchema(), generateOperatorSchema},
	} {
		want := tt.generate(t)
		if *update {
			if err := os.WriteFile(tt.file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !bytes.Equal(tt.committed, want) {
			t.Errorf("%s is not what the types give; run go generate", tt.file)
		}
	}
}

func generatePluginSchema(t *testing.T) []byte {
	s := reflected(t, &Manifest{})
	s.Title, s.Description = "plugin.yaml", "The manifest of a Sortie plugin."
	constrainManifest(s, "")
	setDefaults(s, asJSON(t, Default()))
	return written(t, s)
}

func generateOperatorSchema(t *testing.T) []byte {
	s := reflected(t, &Operator{})
	s.Title, s.Description = "sortie.yaml", "The configuration of a Sortie server."
	constrainManifest(s, "defaults.")
	constrainAmounts(s, "ceilings.")
	constrainAmounts(property(s, "plugins").AdditionalProperties, "ceilings.")
	setDefaults(s, asJSON(t, DefaultOperator()))

	rules := property(s, "plugins")
	rules.PropertyNames = &jsonschema.Schema{Pattern: globPattern}
	property(rules.AdditionalProperties, "access").Enum = []any{AccessToken, AccessPublic}
	property(rules.AdditionalProperties, "rate").Pattern = `^[0-9]+/[smh]$`
	property(rules.AdditionalProperties, "invocations").Minimum = "0"
	for _, key := range []string{"quota.requests", "quota.fetches"} {
		between(property(rules.AdditionalProperties, key), 0, maxQuota)
	}
	between(property(s, "retention.versions"), 1, maxVersions)
	property(s, "signatures.keys").Items.Pattern = `^RW[A-Za-z0-9+/]{54}$`

	secrets := property(s, "secrets")
	secrets.PropertyNames = &jsonschema.Schema{Pattern: secretPattern}
	secrets.AdditionalProperties.OneOf = []*jsonschema.Schema{{Required: []string{"env"}}, {Required: []string{"file"}}}
	secrets.AdditionalProperties.Required = []string{"allow", "plugins"}

	property(s, "log.level").Enum = []any{"debug", "info", "warn", "error"}
	property(s, "log.format").Enum = []any{"json", "text"}
	constrainUpstreams(property(s, "upstreams").Items)
	between(property(s, "dns.entries"), 1, maxNames)
	for key, least := range map[string]json.Number{"invocations": "1", "queue": "0", "fetches": "1", "per_origin": "1"} {
		property(s, "process."+key).Minimum = least
	}
	return written(t, s)
}

// constrainUpstreams adds what the types don't say to an entry of upstreams.
func constrainUpstreams(s *jsonschema.Schema) {
	s.Required = []string{"match"}
	property(s, "proxy").Pattern = `^$|^([Hh][Tt][Tt][Pp][Ss]?|[Ss][Oo][Cc][Kk][Ss]5)://`
	property(s, "rate").Pattern = `^$|^[0-9]+/[smh]$`
	property(s, "tls.min_version").Enum = []any{"1.2", "1.3"}
	between(property(s, "breaker.failures"), 0, maxPercent)
	between(property(s, "retry_budget.percent"), 0, 10*maxPercent)
	for _, key := range []string{"breaker.requests", "adaptive.initial", "adaptive.min", "adaptive.max", "retry_budget.minimum"} {
		between(property(s, key), 0, maxCount)
	}
}

func between(s *jsonschema.Schema, least, most int) {
	s.Minimum, s.Maximum = json.Number(strconv.Itoa(least)), json.Number(strconv.Itoa(most))
}

// reflected gives the schema of a type with everything in place, so that each
// key can have its own default. Descriptions are the fields' comments.
func reflected(t *testing.T, v any) *jsonschema.Schema {
	comments := &jsonschema.Reflector{}
	if err := comments.AddGoComments(packagePath, "."); err != nil {
		t.Fatal(err)
	}
	r := &jsonschema.Reflector{
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		LookupComment: func(t reflect.Type, field string) string {
			if t == reflect.TypeFor[ruleMapping]() {
				t = reflect.TypeFor[Rule]()
			}
			if field == "" {
				return "" // else a type's comment would hide its fields'
			}
			return comments.CommentMap[packagePath+"."+t.Name()+"."+field]
		},
	}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema { return mapped(r, t) }
	s := r.Reflect(v)
	s.Version = jsonschema.Version
	return s
}

const packagePath = "github.com/sortie-run/sortie/host/manifest"

// mapped gives the schemas of types that are written otherwise than they are
// kept.
func mapped(r *jsonschema.Reflector, t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "string", Pattern: `^(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|ms|s|m|h))+)$`},
			{Const: 0},
		}}
	case reflect.TypeFor[Bytes]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "string", Pattern: sizeForm.String()},
			{Type: "integer", Minimum: "0"},
		}}
	case reflect.TypeFor[Rule]():
		mapping := r.Reflect(ruleMapping{})
		mapping.Version = ""
		mapping.Required = []string{"url"}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: `^[Hh][Tt][Tt][Pp][Ss]?://`}, mapping}}
	}
	return nil
}

// constrainManifest adds what the types don't say to a manifest's keys.
func constrainManifest(s *jsonschema.Schema, prefix string) {
	at := func(key string) *jsonschema.Schema { return property(s, prefix+key) }
	at("name").Pattern = namePattern
	at("access").Enum = []any{AccessToken, AccessPublic}
	at("isolation").Enum = []any{IsolationFresh, IsolationPooled}
	at("fetch.retry.statuses").Items.Minimum = "100"
	at("fetch.retry.statuses").Items.Maximum = "599"
	at("warmup.path").Pattern = "^/"
	at("smoke.path").Pattern = "^/"
	between(at("smoke.status"), 0, mostAnswer)
	at("cors.origins").Items.Pattern = `^([*]|[A-Za-z][A-Za-z0-9+.-]*://.+)$`
	at("secrets").Items.Required = []string{"name", "header"}
	property(at("secrets").Items, "name").Pattern = secretPattern
	property(at("secrets").Items, "format").Pattern = "[{]secret[}]"
	property(at("secrets").Items, "format").Default = secretMark
	constrainAmounts(s, prefix)
}

// constrainAmounts adds the ranges of counts.
func constrainAmounts(s *jsonschema.Schema, prefix string) {
	for _, a := range amountTable() {
		if p := property(s, prefix+a.key); p.Type == "integer" {
			p.Minimum = json.Number(strconv.FormatInt(a.least, 10))
			p.Maximum = json.Number(strconv.FormatInt(a.most, 10))
		}
	}
}

// property gives the schema at a dotted key.
func property(s *jsonschema.Schema, key string) *jsonschema.Schema {
	for part := range strings.SplitSeq(key, ".") {
		s = s.Properties.Value(part)
	}
	return s
}

// setDefaults gives each key its default, as the documentation shows it.
func setDefaults(s *jsonschema.Schema, defaults map[string]any) {
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		switch value := defaults[p.Key].(type) {
		case nil:
		case map[string]any:
			setDefaults(p.Value, value)
		default:
			p.Value.Default = value
		}
	}
}

func asJSON(t *testing.T, v any) map[string]any {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func written(t *testing.T, s *jsonschema.Schema) []byte {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}
