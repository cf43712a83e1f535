package abi

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/guest"
)

// The invocation: its request, its response, its log and its configuration.
//
//	request:       stack [ptr, cap] -> length of the head
//	read_request:  stack [ptr, cap] -> bytes copied, 0 at the end | -EFAULT -EAGAIN -EIO
//	respond:       stack [ptr, len] -> 0 | -EFAULT -EINVAL -EALREADY -E2BIG
//	fail:          stack [ptr, len] -> 0 | -EFAULT
//	log:           stack [level, ptr, len] -> 0 | -EFAULT -E2BIG
//	config:        stack [key, key_len, ptr, cap] -> length of the value | -EFAULT -ENOENT

func request(c *guest.Call, stack []uint64) {
	if c.Head == nil {
		c.Head = requestHead(c)
	}
	sized(c, stack, uint32(stack[0]), uint32(stack[1]), c.Head)
}

// requestHead encodes: method, path, query, host, client address, fields, body length, time left.
func requestHead(c *guest.Call) []byte {
	r := &c.Request
	var fields []fetch.Field
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		lower := strings.ToLower(name)
		for _, value := range r.Header[name] {
			fields = append(fields, fetch.Field{Name: lower, Value: value})
		}
	}
	var b []byte
	for _, s := range [...]string{r.Method, r.Path, r.RawQuery, r.Host, r.RemoteAddr} {
		b = appendString(b, s)
	}
	b = appendFields(b, fields)
	length := uint64(len(r.Body))
	if r.Source != nil {
		length = unknownLength
		if r.Length >= 0 {
			length = uint64(r.Length)
		}
	}
	return appendVarint(appendVarint(b, length), uint64(max(c.Left(), 0)))
}

func readRequest(c *guest.Call, stack []uint64) {
	to, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	answer(stack, moved(c.ReadRequest(to)))
}

func respond(c *guest.Call, stack []uint64) {
	in, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	if len(in) > maxHead {
		answer(stack, -E2BIG)
		return
	}
	d := decoder{b: in}
	r := d.responseHead()
	ptr, size := d.number(1<<32-1), d.number(1<<32-1)
	if !d.end() || r == nil {
		answer(stack, -EINVAL)
		return
	}
	from, ok := c.View(uint32(ptr), uint32(size))
	switch {
	case !ok:
		answer(stack, -EFAULT)
	case c.Response != nil:
		answer(stack, -EALREADY)
	case !c.Answer(r, from):
		answer(stack, -E2BIG)
	default:
		answer(stack, 0)
	}
}

// responseHead reads a response's status and fields; nil if they can't be a response's.
func (d *decoder) responseHead() *guest.Response {
	r := &guest.Response{Status: int(d.number(599)), Header: d.fields()}
	if r.Status == 0 {
		r.Status = 200
	}
	if d.bad || r.Status < 200 || !validFields(r.Header) {
		return nil
	}
	return r
}

func validFields(fields []fetch.Field) bool {
	for _, f := range fields {
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return false
		}
	}
	return true
}

func fail(c *guest.Call, stack []uint64) {
	in, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	c.Failure = strings.ToValidUTF8(string(in[:min(len(in), maxFailure)]), "\uFFFD")
	answer(stack, 0)
}

func log(c *guest.Call, stack []uint64) {
	in, ok := c.View(uint32(stack[1]), uint32(stack[2]))
	switch {
	case !ok:
		answer(stack, -EFAULT)
	case len(in) > maxLog:
		answer(stack, -E2BIG)
	default:
		c.Log.Add(slog.Level(int32(stack[0])), string(in))
		answer(stack, 0)
	}
}

func config(c *guest.Call, stack []uint64) {
	key, ok := c.View(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		answer(stack, -EFAULT)
		return
	}
	value, known := c.Config.All, true
	if len(key) > 0 {
		value, known = c.Config.Values[string(key)]
	}
	if !known {
		answer(stack, -ENOENT)
		return
	}
	sized(c, stack, uint32(stack[2]), uint32(stack[3]), value)
}
