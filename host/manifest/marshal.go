package manifest

import "encoding/json"

// plainManifest is a Manifest without its methods.
type plainManifest Manifest

// written gives the manifest as it is written out: every key is there, even one
// whose value is empty, so that reading it over other defaults changes nothing.
func (m Manifest) written() plainManifest {
	if m.Fetch.Allow == nil {
		m.Fetch.Allow = []Rule{}
	}
	if m.Fetch.Retry.Statuses == nil {
		m.Fetch.Retry.Statuses = []int{}
	}
	if m.Config == nil {
		m.Config = map[string]any{}
	}
	if m.Secrets == nil {
		m.Secrets = []Secret{}
	}
	if m.Smoke != nil && m.Smoke.Headers == nil {
		smoke := *m.Smoke
		smoke.Headers = map[string]string{}
		m.Smoke = &smoke
	}
	for _, list := range []*[]string{&m.CORS.Origins, &m.CORS.Methods, &m.CORS.Headers, &m.CORS.Expose} {
		if *list == nil {
			*list = []string{}
		}
	}
	return plainManifest(m)
}

// MarshalJSON gives the manifest's canonical form.
func (m Manifest) MarshalJSON() ([]byte, error) { return json.Marshal(m.written()) }

// UnmarshalJSON reads a manifest as Parse does.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	parsed, err := Parse(data)
	if err == nil {
		*m = *parsed
	}
	return err
}

// MarshalYAML gives the manifest as a value for a YAML encoder.
func (m Manifest) MarshalYAML() (any, error) { return m.written(), nil }

// ruleMapping is a Rule in its long form, without its methods.
type ruleMapping Rule

// short says whether the URL says all there is to a rule.
func (r Rule) short() bool { return len(r.Methods) == 0 && !r.Private }

// MarshalJSON gives the URL alone where it says all there is.
func (r Rule) MarshalJSON() ([]byte, error) {
	if r.short() {
		return json.Marshal(r.URL)
	}
	return json.Marshal(ruleMapping(r))
}

// MarshalYAML gives the URL alone where it says all there is.
func (r Rule) MarshalYAML() (any, error) {
	if r.short() {
		return r.URL, nil
	}
	return ruleMapping(r), nil
}
