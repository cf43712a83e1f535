package sortiehttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Serve registers h as the plugin's handler, as [sortie.HandleStream] does with a function. Call it in an init function; nil is
// http.DefaultServeMux.
//
// A request's path is the one below the plugin's, so that a plugin doesn't know where it is mounted. Its body is read as it arrives.
// RemoteAddr has the port 0 where the host tells none. The context is the invocation's.
//
// An answer of up to 64 KiB goes out whole when the handler returns; a longer one, or one that is flushed, is streamed from there on. A
// handler that panics fails its invocation: the caller gets plugin_error, or if the answer has begun a connection that is reset, and the
// stack is in the log, but for http.ErrAbortHandler. So does one that writes less than the Content-Length it has set.
func Serve(h http.Handler) {
	if h == nil {
		h = http.DefaultServeMux
	}
	sortie.HandleStream(func(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
		return serve(ctx, h, req)
	})
}

func serve(ctx context.Context, h http.Handler, in *sortie.Request) (*sortie.Response, error) {
	r, ok := request(ctx, in)
	if !ok {
		return &sortie.Response{Status: http.StatusBadRequest}, nil // what net/http's server makes of it
	}
	w := newWriter(r)
	go run(h, w, r)
	a := <-w.begun
	return a.response, a.err
}

// run runs the handler, in a goroutine of its own since an answer may begin before the handler returns.
func run(h http.Handler, w *writer, r *http.Request) {
	err := errors.New("the handler's goroutine has ended without returning") // by runtime.Goexit
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			sortie.Log.ErrorContext(r.Context(), fmt.Sprintf("panic: %v\n\n%s", p, debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
		r.Body.Close()
		w.end(err)
	}()
	h.ServeHTTP(w, r)
	err = nil
}

// request makes net/http's request of the host's, if its path is one.
func request(ctx context.Context, in *sortie.Request) (_ *http.Request, ok bool) {
	target, err := url.ParseRequestURI(in.URL)
	if err != nil {
		return nil, false
	}
	r := &http.Request{
		Method: in.Method, URL: target, RequestURI: in.URL, Host: in.Host, RemoteAddr: in.RemoteAddr,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: canonical(in.Header),
	}
	if _, _, err := net.SplitHostPort(in.RemoteAddr); err != nil && in.RemoteAddr != "" {
		r.RemoteAddr = net.JoinHostPort(in.RemoteAddr, "0")
	}
	r.Header.Del("Host") // as net/http has it: in Host alone
	r.Body, r.ContentLength = received(in, r.Header.Get("Content-Length"))
	return r.WithContext(ctx), true
}

// received is an inbound request's body and its length, -1 if the client didn't tell.
func received(in *sortie.Request, announced string) (io.ReadCloser, int64) {
	stream, streams := in.BodyReader.(io.ReadCloser)
	if !streams {
		stream = io.NopCloser(bytes.NewReader(in.Body))
	}
	length, err := strconv.ParseInt(announced, 10, 64)
	if err != nil || length < 0 {
		length = -1
	}
	if length < 0 && slices.Contains(usuallyNone, in.Method) {
		body, err := peek(stream)
		switch err {
		case nil:
			stream = body
		case io.EOF: // so the client has told, by no field at all
			length = 0
		}
	}
	if length == 0 {
		return http.NoBody, 0
	}
	return &inbound{stream: stream}, length
}

// inbound is the body of the request that is served. After the handler it gives nothing any more.
type inbound struct {
	stream io.ReadCloser
	closed atomic.Bool
}

// Read reads what has arrived.
func (b *inbound) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.stream.Read(p)
}

// Close leaves the rest unread.
func (b *inbound) Close() error {
	b.closed.Store(true)
	return b.stream.Close()
}
