package manifest

// Quota limits what one plugin uses in a day (UTC). What is 0 has no limit. It's
// looked at when an invocation arrives: those that run may pass it.
type Quota struct {
	// Invocations in a day; 0: no limit.
	Requests int64 `yaml:"requests" json:"requests"`
	// Fetches in a day, every attempt and every redirect hop; 0: no limit.
	Fetches int64 `yaml:"fetches" json:"fetches"`
	// What its fetches send and get in a day, on the wire; 0: no limit.
	Egress Bytes `yaml:"egress" json:"egress"`
	// The guest's own execution in a day; 0: no limit.
	CPU Duration `yaml:"cpu" json:"cpu"`
}

// maxQuota is the most that a count of a day can be: what every JSON reader
// keeps exactly.
const maxQuota = 1<<53 - 1

func (c *checker) quota(q Quota, key string) {
	for _, count := range []struct {
		key   string
		value int64
	}{{"requests", q.Requests}, {"fetches", q.Fetches}} {
		if count.value < 0 || count.value > maxQuota {
			c.bad(key+"."+count.key, "%d; it is 0 (no limit) to %d", count.value, int64(maxQuota))
		}
	}
	if q.Egress > maxSize {
		c.bad(key+".egress", "%s; it is 0 (no limit) to %s", q.Egress, maxSize)
	}
	if q.CPU > maxDuration {
		c.bad(key+".cpu", "%s; it is 0 (no limit) to %s", q.CPU, maxDuration)
	}
}

// strictest gives, for each amount, the lower limit of the two.
func (q Quota) strictest(other Quota) Quota {
	return Quota{
		Requests: lower(q.Requests, other.Requests),
		Fetches:  lower(q.Fetches, other.Fetches),
		Egress:   lower(q.Egress, other.Egress),
		CPU:      lower(q.CPU, other.CPU),
	}
}

// lower gives the lower of two limits; zero is none.
func lower[T ~int | ~int64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
