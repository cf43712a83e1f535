package sortie

import "strings"

// Header holds the header fields of a request or a response: the values of each name, in their order.
//
// Field names don't depend on case (RFC 9110, section 5.1). Those that come from the host are lower-case, and Set and Add keep names so;
// all methods also find names that were written otherwise into the map, as by a literal. The methods that read work on a nil
// Header.
type Header map[string][]string

// Get returns the first value of a field, "" if there is none.
func (h Header) Get(name string) string {
	if v := h.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Values returns all values of a field, not a copy; nil if there are none.
func (h Header) Values(name string) []string {
	lower := strings.ToLower(name)
	if v, ok := h[lower]; ok {
		return v
	}
	for k, v := range h {
		if strings.EqualFold(k, lower) {
			return v
		}
	}
	return nil
}

// Set gives a field one value, in place of those it had.
func (h Header) Set(name, value string) {
	h.Del(name)
	h[strings.ToLower(name)] = []string{value}
}

// Add appends a value to a field's.
func (h Header) Add(name, value string) {
	lower := strings.ToLower(name)
	if v := h.Values(name); v != nil && h[lower] == nil {
		h.Del(name)
		h[lower] = v
	}
	h[lower] = append(h[lower], value)
}

// Del removes a field.
func (h Header) Del(name string) {
	lower := strings.ToLower(name)
	delete(h, lower)
	for k := range h {
		if strings.EqualFold(k, lower) {
			delete(h, k)
		}
	}
}
