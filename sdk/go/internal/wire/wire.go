// Package wire writes and reads what crosses between guest and host, as host/ABI.md has it: QUIC's variable-length integers (RFC 9000, section
// 16), strings and bodies measured by them, and field sections as in RFC 9292, section 3.6.
//
// Writers append to a buffer and return it, so that one buffer serves each crossing. Readers take the whole of what has crossed
// and never panic; bytes left over are an error, as the ABI has it.
package wire

import (
	"errors"
	"math"
	"time"
	"unsafe"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// ErrMalformed says that what crossed can't be read.
var ErrMalformed = errors.New("malformed encoding from the host")

// Address tells where a body lies in the guest's memory. It is called for non-empty bodies only.
type Address func(body []byte) uint64

const maxVarint = 1<<62 - 1

// Unknown is the length of a body that is a stream.
const Unknown = maxVarint

// AppendVarint appends v in its shortest form. What is above 2^62-1 is written as that.
//
//go:noinline
func AppendVarint(b []byte, v uint64) []byte {
	if v < 1<<6 { // nearly all
		return append(b, byte(v))
	}
	v = min(v, maxVarint)
	last, form := 0, byte(0) // the first byte's upper bits; a loop is less code in every plugin than four appends
	for v >= 1<<(8<<last-2) {
		last++
		form += 0x40
	}
	for i := 1<<last - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i))|form)
		form = 0
	}
	return b
}

// appendInt appends what is counted or measured: below 0 is 0.
func appendInt[T ~int | ~int64](b []byte, v T) []byte { return AppendVarint(b, uint64(max(v, 0))) }

//go:noinline
func appendString(b []byte, s string) []byte { return append(AppendVarint(b, uint64(len(s))), s...) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// begin makes room for the length of what follows, and end fills it in, as a varint of eight bytes: any length of it is
// accepted, and so nothing is measured beforehand or moved afterwards.
func begin(b []byte) ([]byte, int) { return append(b, 0xc0, 0, 0, 0, 0, 0, 0, 0), len(b) + 8 }

func end(b []byte, from int) {
	n := uint64(len(b) - from)
	for i := range 7 {
		b[from-1-i] = byte(n >> (8 * i))
	}
}

// appendFields appends a field section, its names in their order, so that the same header always gives the same bytes.
func appendFields(b []byte, header map[string][]string) []byte {
	if len(header) == 0 {
		return append(b, 0)
	}
	var room [16]string
	names := room[:0]
	for name := range header {
		i := len(names)
		names = append(names, name)
		for ; i > 0 && names[i-1] > name; i-- { // a few names: less code in every plugin than package slices
			names[i] = names[i-1]
		}
		names[i] = name
	}
	b, from := begin(b)
	for _, name := range names {
		for _, value := range header[name] {
			b = appendString(appendString(b, name), value)
		}
	}
	end(b, from)
	return b
}

func appendBody(b, body []byte, address Address) []byte {
	if len(body) == 0 {
		return append(b, 0, 0)
	}
	return AppendVarint(AppendVarint(b, address(body)), uint64(len(body)))
}

// AppendFetch appends what `send` takes.
func AppendFetch(b []byte, f *host.Fetch, address Address) []byte {
	return appendBody(appendFetchHead(b, f), f.Body, address)
}

// The flags of an open fetch.
const (
	flagResponse = 1 << iota // the response's body is a stream
	flagRequest              // the request's body is one
)

// AppendOpen appends what `open` takes: flags, and a fetch. A body that is a stream has no address, and maybe a length.
func AppendOpen(b []byte, f *host.Fetch, address Address) []byte {
	flags := byte(0)
	if f.Stream {
		flags |= flagResponse
	}
	if f.BodyReader == nil {
		return AppendFetch(append(b, flags), f, address)
	}
	b = appendFetchHead(append(b, flags|flagRequest), f)
	return appendInt(append(b, 0), f.BodyLength)
}

func appendFetchHead(b []byte, f *host.Fetch) []byte {
	b = appendString(b, f.Method)
	b = appendString(b, f.URL)
	b = appendFields(b, f.Header)
	b = appendInt(b, f.Timeout)
	b = appendInt(b, f.AttemptTimeout)
	b = appendInt(b, f.Hedge)
	b = AppendVarint(b, uint64(f.Redirect))
	b = appendString(b, f.Expect)
	b = appendBool(b, f.Retry != nil)
	if r := f.Retry; r != nil {
		b = appendInt(b, r.Attempts)
		b = appendInt(b, r.Backoff)
		b = appendInt(b, r.MaxBackoff)
		b = appendInt(b, len(r.Statuses))
		for _, status := range r.Statuses {
			b = appendInt(b, status)
		}
	}
	return b
}

// AppendGroup appends what `group` takes.
func AppendGroup(b []byte, g *host.Group, address Address) []byte {
	return appendGroup(b, g, address, AppendFetch)
}

// AppendOpenGroup appends what `open_group` takes.
func AppendOpenGroup(b []byte, g *host.Group, address Address) []byte {
	return appendGroup(b, g, address, AppendOpen)
}

func appendGroup(b []byte, g *host.Group, address Address, appendMember func([]byte, *host.Fetch, Address) []byte) []byte {
	b = AppendVarint(b, uint64(g.Mode))
	b = appendInt(b, g.Count)
	b = appendInt(b, g.Concurrency)
	b = appendInt(b, g.Timeout)
	b = appendInt(b, len(g.Fetches))
	for _, f := range g.Fetches {
		var from int
		b, from = begin(b)
		b = appendMember(b, f, address)
		end(b, from)
	}
	return b
}

// AppendResponse appends what `respond` takes.
func AppendResponse(b []byte, out *host.Outbound, address Address) []byte {
	return appendBody(AppendBegin(b, out), out.Body, address)
}

// AppendBegin appends what `begin` takes: a response without its body.
func AppendBegin(b []byte, out *host.Outbound) []byte {
	return appendFields(appendInt(b, out.Status), out.Header)
}

// DecodeRequest reads what `request` gives: the request without its body, the body's length, and the time left until the wall limit.
func DecodeRequest(b []byte) (in *host.Inbound, body uint64, left time.Duration, err error) {
	r := reader{rest: string(b)}
	in = &host.Inbound{Method: r.string(), Path: r.string(), RawQuery: r.string(), Host: r.string(), RemoteAddr: r.string(), Header: r.fields()}
	body, left = r.varint(), r.duration()
	if err := r.end(); err != nil {
		return nil, 0, 0, err
	}
	return in, body, left, nil
}

// Outcome is what became of a fetch, and the length of the response's body, which is there if it came along.
type Outcome struct {
	_ host.NoCompare
	host.Outcome
	Length uint64
}

// DecodeOutcomes reads what `outcomes` gives, calls each with a member's index and its outcome, and returns how many there are. All of that
// lies in b, which must not be written to any more.
func DecodeOutcomes(b []byte, each func(i int, o Outcome)) (n int, err error) {
	r := reader{rest: unsafe.String(unsafe.SliceData(b), len(b))}
	for ; r.rest != ""; n++ {
		i := r.int()
		head := reader{rest: r.string()}
		o, response := head.outcome()
		size := len(r.string())
		if r.failed || head.end() != nil || size > 0 && response == nil {
			return n, ErrMalformed
		}
		if size > 0 {
			end := len(b) - len(r.rest)
			response.Body = b[end-size : end : end]
		}
		each(i, o)
	}
	return n, nil
}

// DecodeFailure reads what `read_error` gives.
func DecodeFailure(b []byte) (*host.Failure, error) {
	r := reader{rest: string(b)}
	f := r.failure()
	if err := r.end(); err != nil {
		return nil, err
	}
	return f, nil
}

// outcome reads an outcome, of which response is the response that came, expected or not.
func (r *reader) outcome() (o Outcome, response *host.Response) {
	o.State = host.State(r.varint())
	switch o.State {
	case host.Pending, host.Running:
	case host.Fulfilled:
		response, o.Length = r.response()
		o.Response = response
	case host.Rejected, host.Cancelled:
		o.Failure = r.failure()
		if r.bool() {
			response, o.Length = r.response()
			o.Failure.Response = response
		}
	default:
		r.fail()
	}
	return o, response
}

func (r *reader) failure() *host.Failure {
	return &host.Failure{Code: r.string(), Message: r.string(), URL: r.string(), Attempts: r.int(), Retryable: r.bool()}
}

func (r *reader) response() (_ *host.Response, body uint64) {
	p := &host.Response{Status: r.int(), URL: r.string(), Redirected: r.bool(), Attempts: r.int(), Elapsed: r.duration(), Header: r.fields()}
	return p, r.varint()
}

// reader reads one encoding from its front. After the first failure it gives zero values only.
// The strings it gives share the one that it was made of.
type reader struct {
	rest   string
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = "", true }

func (r *reader) end() error {
	if r.failed || r.rest != "" {
		return ErrMalformed
	}
	return nil
}

func (r *reader) varint() uint64 {
	if r.rest == "" {
		r.fail()
		return 0
	}
	if c := r.rest[0]; c < 1<<6 { // nearly all
		r.rest = r.rest[1:]
		return uint64(c)
	}
	n := 1 << (r.rest[0] >> 6)
	if len(r.rest) < n {
		r.fail()
		return 0
	}
	v := uint64(r.rest[0] & 0x3f)
	for i := 1; i < n; i++ {
		v = v<<8 | uint64(r.rest[i])
	}
	r.rest = r.rest[n:]
	return v
}

// int reads a number that is small by its nature: a status, a count.
func (r *reader) int() int {
	v := r.varint()
	if v > math.MaxInt32 {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) duration() time.Duration { return time.Duration(r.varint()) } // 62 bits: always fits

func (r *reader) bool() bool {
	v := r.varint()
	if v > 1 {
		r.fail()
	}
	return v == 1
}

func (r *reader) string() string {
	n := r.varint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// fields reads a field section. All single values lie in one array.
func (r *reader) fields() map[string][]string {
	section := reader{rest: r.string(), failed: r.failed}
	n := 0
	for count := section; count.rest != ""; n++ {
		count.string()
		count.string()
	}
	header := make(map[string][]string, n)
	values := make([]string, n)
	for i := 0; section.rest != ""; i++ {
		name := section.string()
		values[i] = section.string()
		if before := header[name]; before == nil {
			header[name] = values[i : i+1 : i+1]
		} else {
			header[name] = append(before, values[i])
		}
	}
	if section.failed {
		r.fail()
	}
	return header
}
