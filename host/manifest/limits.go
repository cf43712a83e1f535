package manifest

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// The most that any amount can be, whatever the ceilings: beyond it a value is
// a mistake.
const (
	maxCount    = math.MaxInt32
	maxDuration = Duration(8760 * time.Hour) // a year
	maxSize     = Bytes(1 << 50)             // a pebibyte
)

// The least of what could do nothing at all if it were less.
const (
	leastDuration = Duration(time.Millisecond)
	leastMemory   = Bytes(64 << 10) // one page of WebAssembly
)

// EffectiveLimits are the limits that are in force for a plugin, in the shape
// and with the units of its manifest.
type EffectiveLimits struct {
	Fetch  EffectiveFetch `json:"fetch"`
	Limits Limits         `json:"limits"`
}

// EffectiveFetch are the limits that are in force for a plugin's fetches.
type EffectiveFetch struct {
	Limits FetchLimits `json:"limits"`
}

// EffectiveLimits gives the manifest's limits alone, as the answer to a deploy
// shows them. They are in force if the manifest comes from Operator.Manifest.
func (m *Manifest) EffectiveLimits() EffectiveLimits {
	return EffectiveLimits{Fetch: EffectiveFetch{Limits: m.Fetch.Limits}, Limits: m.Limits}
}

// Limit is one limit for people to read.
type Limit struct {
	Key   string // such as "fetch.limits.requests"
	Value string // with its unit: "64", "10s", "1MiB"
}

// LimitList lists the manifest's limits, retrying included, in the order of the
// documentation.
func (m *Manifest) LimitList() []Limit {
	var list []Limit
	for _, a := range amountTable() {
		list = append(list, Limit{Key: a.key, Value: a.show(a.get(m.amounts()))})
	}
	return list
}

// amounts are the parts of a manifest, or of ceilings, that hold amounts.
type amounts struct {
	fetch               *FetchLimits
	attempts            *int
	backoff, maxBackoff *Duration
	cache               *Bytes
	limits              *Limits
}

func (m *Manifest) amounts() amounts {
	r := &m.Fetch.Retry
	return amounts{&m.Fetch.Limits, &r.Attempts, &r.Backoff, &r.MaxBackoff, &m.Fetch.Cache.Bytes, &m.Limits}
}

func (c *Ceilings) amounts() amounts {
	r := &c.Fetch.Retry
	return amounts{&c.Fetch.Limits, &r.Attempts, &r.Backoff, &r.MaxBackoff, &c.Fetch.Cache.Bytes, &c.Limits}
}

// amount is one number that a manifest asks for and a ceiling bounds. Its
// values are in the field's own unit: ones, nanoseconds or bytes.
type amount struct {
	key         string
	least, most int64
	none        bool // zero is no limit
	get         func(amounts) int64
	set         func(amounts, int64)
	show        func(int64) string
	typed       func(int64) any // as the field's type
}

// check says what is wrong with a value, or "".
func (a amount) check(v int64) string {
	switch {
	case v < 0:
		return fmt.Sprintf("%s; it can't be negative", a.show(v))
	case v < a.least:
		return fmt.Sprintf("%s; it is %s at least", a.show(v), a.show(a.least))
	case v > a.most:
		return fmt.Sprintf("%s; it is %s at most", a.show(v), a.show(a.most))
	}
	return ""
}

func counted(key string, least int, at func(amounts) *int) amount {
	return measured(key, least, maxCount, strconv.Itoa, at)
}

func lasting(key string, least Duration, at func(amounts) *Duration) amount {
	return measured(key, least, maxDuration, Duration.String, at)
}

func sized(key string, least Bytes, at func(amounts) *Bytes) amount {
	return measured(key, least, maxSize, Bytes.String, at)
}

func measured[T ~int | ~int64](key string, least, most T, show func(T) string, at func(amounts) *T) amount {
	return amount{
		key: key, least: int64(least), most: int64(most),
		get:  func(a amounts) int64 { return int64(*at(a)) },
		set:  func(a amounts, v int64) { *at(a) = T(v) },
		show: func(v int64) string { return show(T(v)) },

		typed: func(v int64) any { return T(v) },
	}
}

// amountTable lists every amount of a manifest. A time limit of zero would stop
// everything, so only attempt_timeout has a zero, which means none.
func amountTable() []amount {
	attempt := lasting("fetch.limits.attempt_timeout", 0, func(a amounts) *Duration { return &a.fetch.AttemptTimeout })
	attempt.none = true
	return []amount{
		counted("fetch.limits.requests", 0, func(a amounts) *int { return &a.fetch.Requests }),
		counted("fetch.limits.concurrency", 1, func(a amounts) *int { return &a.fetch.Concurrency }),
		lasting("fetch.limits.timeout", leastDuration, func(a amounts) *Duration { return &a.fetch.Timeout }),
		lasting("fetch.limits.connect_timeout", leastDuration, func(a amounts) *Duration { return &a.fetch.ConnectTimeout }),
		lasting("fetch.limits.write_timeout", leastDuration, func(a amounts) *Duration { return &a.fetch.WriteTimeout }),
		lasting("fetch.limits.read_timeout", leastDuration, func(a amounts) *Duration { return &a.fetch.ReadTimeout }),
		lasting("fetch.limits.pool_timeout", leastDuration, func(a amounts) *Duration { return &a.fetch.PoolTimeout }),
		attempt,
		sized("fetch.limits.request_bytes", 0, func(a amounts) *Bytes { return &a.fetch.RequestBytes }),
		sized("fetch.limits.response_bytes", 0, func(a amounts) *Bytes { return &a.fetch.ResponseBytes }),
		sized("fetch.limits.total_bytes", 0, func(a amounts) *Bytes { return &a.fetch.TotalBytes }),
		counted("fetch.limits.redirects", 0, func(a amounts) *int { return &a.fetch.Redirects }),
		counted("fetch.retry.attempts", 1, func(a amounts) *int { return a.attempts }),
		lasting("fetch.retry.backoff", 0, func(a amounts) *Duration { return a.backoff }),
		lasting("fetch.retry.max_backoff", 0, func(a amounts) *Duration { return a.maxBackoff }),
		sized("fetch.cache.bytes", 0, func(a amounts) *Bytes { return a.cache }),
		lasting("limits.wall", leastDuration, func(a amounts) *Duration { return &a.limits.Wall }),
		lasting("limits.stream", leastDuration, func(a amounts) *Duration { return &a.limits.Stream }),
		lasting("limits.cpu", leastDuration, func(a amounts) *Duration { return &a.limits.CPU }),
		sized("limits.memory", leastMemory, func(a amounts) *Bytes { return &a.limits.Memory }),
		sized("limits.input", 0, func(a amounts) *Bytes { return &a.limits.Input }),
		sized("limits.output", 0, func(a amounts) *Bytes { return &a.limits.Output }),
		sized("limits.log", 0, func(a amounts) *Bytes { return &a.limits.Log }),
	}
}
