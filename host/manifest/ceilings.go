package manifest

import (
	"encoding/json"
	"strings"
)

// ceilingFactor is how often its default an amount without a listed ceiling may
// be.
const ceilingFactor = 16

// defaultCacheCeiling is how large a plugin's cache may be where no ceiling is
// listed.
const defaultCacheCeiling = 64 * Bytes(1<<20)

// Clamped is a value that a manifest asked for and did not get.
type Clamped struct {
	Key   string `json:"key"`   // such as "fetch.limits.requests"
	Asked string `json:"asked"` // as asked for, with its unit
	Got   string `json:"got"`   // what is in force instead
}

// clamp lowers what passes a ceiling: the general ceilings, the defaults' where
// none is listed, and the plugin rules'. It reports what the manifest itself
// asked for; a default above a ceiling is nothing its author can mend.
func (o *Operator) clamp(m *Manifest, asked func(key string) bool) []Clamped {
	rules := o.Rules(m.Name)
	var clamped []Clamped
	for _, a := range amountTable() {
		got := a.get(m.amounts())
		ceiling, ok := o.ceiling(a)
		if special, listed := rules.Ceilings.listed(a); listed && (!ok || special < ceiling) {
			ceiling, ok = special, true
		}
		// Zero can mean no limit, which passes any ceiling.
		unlimited := a.none && got == 0 && ceiling > 0
		if !ok || got <= ceiling && !unlimited {
			continue
		}
		a.set(m.amounts(), ceiling)
		if asked(a.key) {
			clamped = append(clamped, Clamped{Key: a.key, Asked: a.show(got), Got: a.show(ceiling)})
		}
	}
	if m.Access == AccessPublic && rules.Access != AccessPublic {
		m.Access = AccessToken
		if asked("access") {
			clamped = append(clamped, Clamped{Key: "access", Asked: AccessPublic, Got: AccessToken})
		}
	}
	return clamped
}

// ceiling is the general ceiling of an amount; false if there is none.
func (o *Operator) ceiling(a amount) (int64, bool) {
	if listed, ok := o.Ceilings.listed(a); ok {
		return listed, true
	}
	documented := a.get(Default().amounts()) * ceilingFactor
	if documented == 0 && a.none {
		return 0, false
	}
	if a.key == "fetch.cache.bytes" { // off by default, and sixteen times that is off as well
		documented = int64(defaultCacheCeiling)
	}
	// An operator whose own default is higher means it.
	return max(documented, a.get(o.Defaults.amounts())), true
}

// listed is the ceiling that is given for an amount; false if none is. A zero
// that means no limit is no ceiling either.
func (c *Ceilings) listed(a amount) (int64, bool) {
	v := a.get(c.amounts())
	return v, v != 0 || c.zero[a.key] && !a.none
}

// remember notes which ceilings the source gives as zero, under the key where
// the ceilings stand.
func (c *Ceilings) remember(d *decoder, key string) {
	for _, a := range amountTable() {
		full := key + "." + a.key
		if !d.named(full) || d.failed[full] {
			continue
		}
		zero := make(map[string]bool, len(c.zero)+1)
		for k := range c.zero {
			zero[k] = k != a.key && c.zero[k]
		}
		zero[a.key] = a.get(c.amounts()) == 0
		c.zero = zero
	}
}

// strictest gives, for each amount, the lowest ceiling listed in either.
func (c Ceilings) strictest(other Ceilings) Ceilings {
	out := Ceilings{zero: map[string]bool{}}
	for _, a := range amountTable() {
		low, ok := c.listed(a)
		if v, listed := other.listed(a); listed && (!ok || v < low) {
			low, ok = v, true
		}
		if ok {
			a.set(out.amounts(), low)
			out.zero[a.key] = low == 0
		}
	}
	return out
}

// MarshalJSON gives the ceilings that are listed, nested as in the file.
func (c Ceilings) MarshalJSON() ([]byte, error) { return json.Marshal(c.nested()) }

// MarshalYAML gives the ceilings that are listed as a value for a YAML encoder.
func (c Ceilings) MarshalYAML() (any, error) { return c.nested(), nil }

func (c Ceilings) nested() map[string]any {
	root := map[string]any{}
	for _, a := range amountTable() {
		v, ok := c.listed(a)
		if !ok {
			continue
		}
		parts := strings.Split(a.key, ".")
		at := root
		for _, part := range parts[:len(parts)-1] {
			next, _ := at[part].(map[string]any)
			if next == nil {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = a.typed(v)
	}
	return root
}
