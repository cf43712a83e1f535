package fetch

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// buffers lends scratch space for reading.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[scratchSize]byte {
	if p, ok := b.pool.Get().(*[scratchSize]byte); ok {
		return p
	}
	return new([scratchSize]byte)
}

func (b *buffers) put(p *[scratchSize]byte) { b.pool.Put(p) }

// wire is a response's body as it arrives. It remembers how reading failed, so that a decoder's complaint about it isn't taken
// for a fault of the encoding.
type wire struct {
	body  io.Reader
	watch *watch // nil: the connection tells it what moves
	total int64
	err   error
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.total += int64(n)
	if n > 0 && w.watch != nil {
		w.watch.touch()
	}
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// wire readies reading from the wire.
func (x *exchange) wire(resp *http.Response) *wire {
	w := &x.content.wire
	w.body = resp.Body
	if x.conn.Load() == nil {
		w.watch = &x.watch
	}
	return w
}

// source is a response's body on its way to the caller: from the wire, decoded, counted and charged.
type source struct {
	exchange *exchange
	wire     wire
	decoder  *decoder  // nil: it comes as it is
	top      io.Reader // the wire or the decoder
	coding   string    // for messages
	length   int64     // decoded; -1: not known beforehand
	total    int64     // decoded bytes so far
	fail     *failure.Error
}

// source readies the body of a response. It is nil if there is none.
func (x *exchange) source(resp *http.Response) (*source, *failure.Error) {
	codings, known, err := codingsOf(resp.Header)
	if err != nil {
		return nil, failure.New(failure.DecodeError, "%s", err)
	}
	if x.hop.method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		return nil, nil // what is described isn't here
	}
	s := &x.content
	s.exchange, s.length = x, -1
	s.top = x.wire(resp)
	if known && len(codings) > 0 {
		s.decoder = x.client.engine.codecs.open(codings, &s.wire, encodedAllowance(x.client.limits.responseBytes))
		s.top, s.coding = s.decoder, resp.Header.Get("Content-Encoding")
		return s, nil
	}
	if s.length = resp.ContentLength; s.length >= 0 {
		if fail := x.fits(s.length); fail != nil {
			return nil, fail
		}
	}
	return s, nil
}

// release gives the decoders back.
func (s *source) release() {
	if s.decoder != nil {
		s.decoder.release()
		s.decoder = nil
	}
}

// Read charges what passes.
func (s *source) Read(p []byte) (int, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	n, err := s.top.Read(p)
	if n > 0 {
		s.total += int64(n)
		if most := s.exchange.client.limits.responseBytes; s.total > most {
			s.fail = failure.New(failure.ResponseTooLarge, "response_bytes is %d; the response's body has at least %d", most, s.total)
			return 0, s.fail
		}
		if s.fail = s.exchange.flight.session.budget.takeBytes(int64(n)); s.fail != nil {
			return 0, s.fail
		}
	}
	return n, err
}

// failed says what an error of Read means.
func (s *source) failed(err error) *failure.Error {
	x := s.exchange
	switch {
	case s.fail != nil:
		return s.fail
	case s.wire.err != nil:
		return x.failed(s.wire.err)
	case errors.Is(err, errTooMuch):
		return failure.New(failure.ResponseTooLarge, "response_bytes is %d; the encoded body has over %d and has not come to its end",
			x.client.limits.responseBytes, encodedAllowance(x.client.limits.responseBytes))
	}
	return failure.Wrap(failure.DecodeError, err, "the body is not valid %s: %s", quote(s.coding), x.client.foreign(err.Error()))
}

// body reads and decodes the whole body of a response, and charges it.
func (x *exchange) body(s *source) ([]byte, *failure.Error) {
	defer s.release()
	body, err := x.client.engine.buffers.readAll(s, s.length)
	if err != nil {
		return nil, s.failed(err)
	}
	return body, stopped(x.ctx) // an end that comes now may be what the server made of ours
}

// fits tells beforehand whether a body of that many bytes may be read.
func (x *exchange) fits(length int64) *failure.Error {
	if most := x.client.limits.responseBytes; length > most {
		return failure.New(failure.ResponseTooLarge, "response_bytes is %d; the response's body has %d", most, length)
	}
	return x.flight.session.budget.fitsBytes(length)
}

// readAll reads to the end. With a known length (else -1) up to 1 MiB, that is one allocation of just that size; with none, a body that
// fits the scratch is too.
func (b *buffers) readAll(r io.Reader, length int64) ([]byte, error) {
	scratch := b.get()
	defer b.put(scratch)
	var body []byte
	if length >= 0 {
		body = make([]byte, 0, min(length, maxTrustedLength))
	} else {
		n, err := fill(r, scratch[:])
		if err != nil && err != io.EOF {
			return nil, err
		}
		body = slices.Clone(scratch[:n])
		if err == io.EOF {
			return body, nil
		}
	}
	for idle := 0; idle < maxIdleReads; idle++ {
		var n int
		var err error
		if len(body) < cap(body) {
			n, err = r.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
		} else { // to learn whether there's more before growing
			n, err = r.Read(scratch[:])
			body = appendGrowing(body, scratch[:n], length)
		}
		switch {
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, err
		case n > 0:
			idle = -1
		}
	}
	return nil, io.ErrNoProgress
}

// maxIdleReads is how often a reader may give nothing without an error.
const maxIdleReads = 100

// fill reads until p is full or reading fails, the end included.
func fill(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil; idle++ {
		var m int
		m, err = r.Read(p[n:])
		if n += m; m > 0 {
			idle = -1
		}
		if idle >= maxIdleReads {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// appendGrowing doubles the capacity, but not past a known length.
func appendGrowing(body, more []byte, length int64) []byte {
	need := len(body) + len(more)
	if need > cap(body) {
		want := max(need, 2*cap(body))
		if int64(need) <= length {
			want = min(want, int(length))
		}
		grown := make([]byte, len(body), want)
		copy(grown, body)
		body = grown
	}
	return append(body, more...)
}

// discard reads the rest of a short body that nobody wants, so that its connection can be used again, unless it takes so long that a
// new connection is cheaper. The bytes aren't charged: they are few, and the guest doesn't get them.
func (x *exchange) discard(resp *http.Response) {
	if resp.ContentLength < 0 || resp.ContentLength > maxDiscard {
		return
	}
	scratch := x.client.engine.buffers.get()
	defer x.client.engine.buffers.put(scratch)
	timer := time.AfterFunc(maxDiscardTime, func() { x.cancel(nil) })
	defer timer.Stop()
	w := x.wire(resp)
	for n := 0; n <= maxDiscard; {
		m, err := w.Read(scratch[:])
		if err != nil {
			return
		}
		n += m
	}
}
