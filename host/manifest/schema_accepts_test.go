package manifest

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"testing"
)

// plainYAML gives a file as JSON decodes it.
func plainYAML(t *testing.T, in string) any {
	t.Helper()
	root, _, failed := readSource([]byte(in))
	if failed != nil {
		t.Fatal(failed)
	}
	data, err := json.Marshal(newDecoder("", &Manifest{}).any(root, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// accepts says whether a value is valid by the part of JSON Schema that the two
// schemas use. It fails for a keyword it doesn't know.
func accepts(t *testing.T, s map[string]any, v any) bool {
	t.Helper()
	for keyword, rule := range s {
		ok := true
		switch keyword {
		case "$schema", "title", "description", "default":
		case "type":
			ok = hasType(rule.(string), v)
		case "enum":
			ok = slices.ContainsFunc(rule.([]any), func(one any) bool { return reflect.DeepEqual(one, v) })
		case "const":
			ok = reflect.DeepEqual(rule, v)
		case "pattern":
			text, isText := v.(string)
			ok = !isText || regexp.MustCompile(rule.(string)).MatchString(text)
		case "minimum", "maximum":
			n, isNumber := v.(float64)
			ok = !isNumber || keyword == "minimum" && n >= rule.(float64) || keyword == "maximum" && n <= rule.(float64)
		case "required":
			m, isMapping := v.(map[string]any)
			for _, key := range rule.([]any) {
				_, has := m[key.(string)]
				ok = ok && (!isMapping || has)
			}
		case "oneOf":
			n := 0
			for _, one := range list(rule) {
				if accepts(t, one, v) {
					n++
				}
			}
			ok = n == 1
		case "items":
			items, _ := v.([]any)
			for _, one := range items {
				ok = ok && accepts(t, rule.(map[string]any), one)
			}
		case "properties", "additionalProperties", "propertyNames":
			ok = acceptsKeys(t, s, keyword, v)
		default:
			t.Errorf("keyword %s", keyword)
		}
		if !ok {
			return false
		}
	}
	return true
}

func acceptsKeys(t *testing.T, s map[string]any, keyword string, v any) bool {
	m, _ := v.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for key, value := range m {
		p, known := properties[key].(map[string]any)
		switch rule := s[keyword]; {
		case keyword == "properties" && known && !accepts(t, p, value),
			keyword == "propertyNames" && !accepts(t, rule.(map[string]any), key),
			keyword == "additionalProperties" && !known && rule == false:
			return false
		case keyword == "additionalProperties" && !known:
			if extra, ok := rule.(map[string]any); ok && !accepts(t, extra, value) {
				return false
			}
		}
	}
	return true
}

func hasType(want string, v any) bool {
	switch v := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return want == "null"
}
