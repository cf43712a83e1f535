package manifest

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const secretOperator = `secrets:
  API_KEY: {env: KEY, allow: ["https://api.example.com", "https://*.example.org/v1"], plugins: [prices, "search-*"]}
`

func TestSecretNarrowing(t *testing.T) {
	t.Parallel()
	o, err := ParseOperator([]byte(secretOperator))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"https://api.example.com", "https://*.example.org/v1"}
	for _, tt := range []struct {
		name, secret string
		want         []string // nil: an error with wrong in it
		wrong        string
	}{
		{"prices", "name: API_KEY, header: X", all, ""},
		{"search-web", "name: API_KEY, header: X", all, ""},
		{"prices", `name: API_KEY, header: X, allow: ["HTTPS://api.example.com:443/a"]`, []string{"https://api.example.com/a"}, ""},
		{"prices", `name: API_KEY, header: X, allow: ["https://a.b.example.org/v1/x"]`, []string{"https://a.b.example.org/v1/x"}, ""},
		{"prices", `name: API_KEY, header: X, allow: ["https://*.b.example.org/v1"]`, []string{"https://*.b.example.org/v1"}, ""},
		{"other", "name: API_KEY, header: X", nil, `plugin.yaml:1:18: secrets[0].name: the operator does not give secret "API_KEY" to plugin "other"`},
		{"prices", "name: API_KYE, header: X", nil, `plugin.yaml:1:18: secrets[0].name: the operator has no secret "API_KYE"; did you mean "API_KEY"?`},
		{"prices", "name: OTHER, header: X", nil, `plugin.yaml:1:18: secrets[0].name: the operator has no secret "OTHER"`},
		{"prices", `name: API_KEY, header: X, allow: ["https://api.example.com", "https://*"]`, nil, `secrets[0].allow[1]: the operator does not let secret "API_KEY" be sent to "https://*"`},
		{"prices", `name: API_KEY, header: X, allow: ["http://api.example.com"]`, nil, "be sent to"},
		{"prices", `name: API_KEY, header: X, allow: ["https://api.example.com:*"]`, nil, "be sent to"},
		{"prices", `name: API_KEY, header: X, allow: ["https://a.example.org"]`, nil, "be sent to"},
		{"prices", `name: API_KEY, header: X, allow: ["https://example.org/v1"]`, nil, "be sent to"},
	} {
		m, _, err := o.ManifestFor(tt.name, []byte("secrets: [{"+tt.secret+"}]"))
		switch {
		case tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s %s: %v, want %s", tt.name, tt.secret, err, tt.wrong)
		case tt.want != nil && err != nil:
			t.Errorf("%s %s: %s", tt.name, tt.secret, err)
		case tt.want != nil:
			if diff := cmp.Diff(tt.want, m.Secrets[0].Allow); diff != "" {
				t.Errorf("%s %s: %s", tt.name, tt.secret, diff)
			}
		}
	}
}

func TestResolveSecrets(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"KEY": "from the environment", "EMPTY": "", "EVIL": "a\r\nb: c", "LONG": strings.Repeat("x", maxSecretBytes+1)}
	files := map[string]string{"/run/key": "from a file\n", "/run/crlf": "from Windows\r\n", "/run/two": "two\nlines\n"}
	lookup := func(name string) (string, bool) { v, ok := environ[name]; return v, ok }
	read := func(name string) ([]byte, error) {
		if v, ok := files[name]; ok {
			return []byte(v), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	for _, tt := range []struct {
		secret OperatorSecret
		want   string
		wrong  string
	}{
		{OperatorSecret{Env: "KEY"}, "from the environment", ""},
		{OperatorSecret{File: "/run/key"}, "from a file", ""},
		{OperatorSecret{File: "/run/crlf"}, "from Windows", ""},
		{OperatorSecret{Env: "NONE"}, "", "sortie.yaml: secrets.K.env: the environment has no NONE"},
		{OperatorSecret{Env: "EMPTY"}, "", "sortie.yaml: secrets.K.env: the secret is empty"},
		{OperatorSecret{Env: "EVIL"}, "", "sortie.yaml: secrets.K.env: the secret has a character that can't stand in a header"},
		{OperatorSecret{Env: "LONG"}, "", "sortie.yaml: secrets.K.env: the secret has 65537 bytes; 65536 is the most"},
		{OperatorSecret{File: "/run/two"}, "", "sortie.yaml: secrets.K.file: the secret has a character that can't stand in a header"},
		{OperatorSecret{File: "/none"}, "", "sortie.yaml: secrets.K.file: open /none: file does not exist"},
	} {
		o := DefaultOperator()
		o.Secrets = map[string]OperatorSecret{"K": tt.secret}
		values, err := o.ResolveSecrets(lookup, read)
		if tt.wrong == "" {
			if err != nil || values["K"] != tt.want {
				t.Errorf("%+v: %v, %v", tt.secret, values, err)
			}
			continue
		}
		var all Errors
		if !errors.As(err, &all) || err.Error() != tt.wrong || values != nil {
			t.Errorf("%+v: %v, want %s", tt.secret, err, tt.wrong)
		}
	}
}

func TestCheckSecret(t *testing.T) {
	t.Parallel()
	got, err := CheckSecret("API_KEY", []string{"HTTPS://api.Example.com:443/v1"}, []string{"search-*"})
	if err != nil || got.Allow[0] != "https://api.example.com/v1" || got.Plugins[0] != "search-*" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		name           string
		allow, plugins []string
		want           string
	}{
		{"1", []string{"https://a.example"}, []string{"*"}, `name: that is not a secret's name; write API_KEY, for example`},
		{"A", nil, []string{"*"}, "allow: missing; a secret needs `allow`, where it may be sent"},
		{"A", []string{"https://a.example"}, nil, "plugins: missing; a secret needs `plugins`, who may use it"},
		{"A", []string{"https://a.example", "x"}, []string{"*"}, "allow[1]: "},
		{"A", []string{"https://a.example"}, []string{"*", "B"}, "plugins[1]: "},
		{"A", make([]string, 101), []string{"*"}, "allow: 101 entries; 100 is the most"},
		{"A", []string{"https://a.example"}, make([]string, 101), "plugins: 101 entries; 100 is the most"},
	} {
		if _, err := CheckSecret(c.name, c.allow, c.plugins); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %v %v: %v, want %s", c.name, c.allow, c.plugins, err, c.want)
		}
	}
	for value, ok := range map[string]bool{"": false, "a b": true, "a\nb": false, strings.Repeat("x", 64<<10): true, strings.Repeat("x", 64<<10+1): false} {
		if err := CheckSecretValue(value); (err == nil) != ok || err != nil && value != "" && strings.Contains(err.Error(), value) {
			t.Errorf("%.10q: %v", value, err)
		}
	}
}

// TestDeployedSecrets: what was deployed is read as it was, whatever has become of the secret.
func TestDeployedSecrets(t *testing.T) {
	t.Parallel()
	data := []byte("secrets: [{name: GONE, header: X}, {name: KEY, header: Y, allow: ['https://b.example']}]")
	o, err := ParseOperator([]byte("secrets: {KEY: {env: K, allow: ['https://a.example'], plugins: [other]}}\nceilings: {limits: {wall: 5s}}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.ManifestFor("prices", data); err == nil {
		t.Error("deployed")
	}
	m, _, err := o.Deployed("prices", data)
	if err != nil || m.Name != "prices" || m.Secrets[0].Allow != nil || m.Secrets[1].Allow[0] != "https://b.example" || m.Limits.Wall != Duration(5*time.Second) {
		t.Errorf("%+v, %v", m, err)
	}
}
