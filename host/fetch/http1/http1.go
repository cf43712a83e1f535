// Package http1 sends requests and receives their responses over HTTP/1.1's connections, which it keeps for the next (RFC 9112, section 9.3):
//
//	pool := http1.NewPool(http1.Config{Idle: 100, IdleTimeout: 4 * time.Second, Head: 128 << 10})
//	conn := pool.Take("http://example.com")
//	if conn == nil {
//		nc, err := net.Dial("tcp", "example.com:80")
//		…
//		conn = pool.Add("http://example.com", nc, nc)
//	}
//	response, err := conn.RoundTrip(ctx, request, observer)
//
// What reads the responses is net/http's, and requests come out as it would write them. In place of its transport's two goroutines for each connection, and of the channels between them and the
// caller, everything happens on the caller's goroutine. That asks for requests which are short enough to be written before anybody reads: see
// [MaxRequest]. RATIONALE.md has the reasons.
package http1

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Conn is a connection that has one exchange at a time.
type Conn struct {
	net.Conn
	pool   *Pool
	origin string
	reader *bufio.Reader
	head   int64  // how many bytes may still be read before a response's head has ended
	cut    func() // closes it
	peek   peeker
	since  time.Time // when it was put into the pool
	reused bool
}

// Reused tells whether it has had an exchange before.
func (c *Conn) Reused() bool { return c.reused }

// Observer is told of an exchange's stages, on the goroutine that goes through them. None of its methods may block.
type Observer interface {
	// Wrote: the request is out.
	Wrote()
	// Answered: the first byte has come.
	Answered()
	// Released: the response's body has come to its end, or was closed. The connection is another exchange's from now on, or closed.
	Released()
}

// errLongHead says what net/http says of it.
type errLongHead int64

func (e errLongHead) Error() string {
	return fmt.Sprintf("net/http: server response headers exceeded %d bytes; aborted", int64(e))
}

// RoundTrip sends a request and returns the response once its head is there. The caller must read its body to the end, or close it; both give the
// connection back, and it's kept if nothing speaks against that. With an error it's closed. The end of ctx closes it at any time before.
//
// Informational responses are left out but for 101, which no caller can go on from. The response's Request tells its method only, and that only if
// it's HEAD.
//
// The error is what reading or writing gave, io.EOF if the connection was closed before an answer, or says what is wrong with the response. A server
// that answers before it has read the request, and closes the connection, is understood nevertheless.
func (c *Conn) RoundTrip(ctx context.Context, request *Request, observer Observer) (*http.Response, error) {
	stop := context.AfterFunc(ctx, c.cut)
	response, sent, err := c.exchange(request, observer)
	if err != nil {
		stop()
		c.Close()
		return nil, err
	}
	b := &body{ReadCloser: response.Body, conn: c, stop: stop, observer: observer, keep: sent && !response.Close && response.StatusCode > 199}
	if response.Body == http.NoBody {
		b.release(true)
	} else {
		response.Body = b
	}
	return response, nil
}

// All that reading a response wants to know of its request is whether it was a HEAD.
var (
	someRequest = &http.Request{Method: http.MethodGet}
	headRequest = &http.Request{Method: http.MethodHead}
)

// exchange sends a request and reads the head of the response. sent says that all of the request is out.
func (c *Conn) exchange(request *Request, observer Observer) (response *http.Response, sent bool, err error) {
	broken := c.send(request)
	switch broken {
	case nil:
		observer.Wrote()
	case ErrInvalid:
		return nil, false, broken
	}
	c.head = c.pool.cfg.Head
	if _, err := c.reader.Peek(1); err != nil {
		return nil, false, cmp.Or(broken, err)
	}
	observer.Answered()
	asked := someRequest
	if request.Method == http.MethodHead {
		asked = headRequest
	}
	for {
		response, err := http.ReadResponse(c.reader, asked)
		switch {
		case err != nil && c.head <= 0:
			return nil, false, errLongHead(c.pool.cfg.Head)
		case err != nil:
			return nil, false, err
		case informational(response.StatusCode):
			continue
		}
		c.head = unlimited
		return response, broken == nil, nil
	}
}

// send writes the request, all at once.
func (c *Conn) send(request *Request) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	b, err := request.append((*buffer)[:0])
	*buffer = b
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}

// informational tells of a response that is followed by another. After a 101 comes something else.
func informational(status int) bool {
	return 100 <= status && status <= 199 && status != http.StatusSwitchingProtocols
}

const unlimited = 1<<63 - 1

// reading is a connection as its reader sees it.
type reading struct{ *Conn }

// Read keeps to the limit of a response's head.
func (r reading) Read(p []byte) (int, error) {
	c := r.Conn
	if c.head <= 0 {
		return 0, errLongHead(c.pool.cfg.Head)
	}
	if int64(len(p)) > c.head {
		p = p[:c.head]
	}
	n, err := c.Read(p)
	if c.head != unlimited {
		c.head -= int64(n)
	}
	return n, err
}

// body is a response's body. Its end gives the connection back.
type body struct {
	io.ReadCloser
	conn     *Conn
	stop     func() bool
	observer Observer
	keep     bool
	released atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.release(true)
	}
	return n, err
}

// Close closes the connection unless the body has been read. It may be called during a Read, which fails then.
func (b *body) Close() error {
	b.release(false)
	return nil
}

// release is the end of an exchange. Bytes that nobody asked for speak against keeping the connection (RFC 9112, section 11.2).
func (b *body) release(whole bool) {
	if b.released.Swap(true) {
		return
	}
	c := b.conn
	uncut := b.stop()
	b.observer.Released()
	if !whole || !uncut || !b.keep || c.reader.Buffered() > 0 || !c.pool.put(c) {
		c.Close()
	}
}
