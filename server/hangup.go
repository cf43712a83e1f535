package server

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// net/http notices that an HTTP/1 client has gone by reading from its connection, so it can't while there is a body to be read that the
// plugin hasn't asked for. The system knows all the same, and can be asked for it without a byte being read.

type connKey struct{}

// withConn is an http.Server's ConnContext. The context is the only way on which net/http gives a connection to a handler.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// transport is the connection of a request, without TLS; nil where withConn isn't used.
func transport(ctx context.Context) net.Conn {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}

// watch calls gone when the client has closed the connection, or its side of it as net/http sees it, until over is closed.
func watch(conn net.Conn, over <-chan struct{}, gone func()) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	widen(raw, hangupRoom)
	ticker := time.NewTicker(hangupTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if hungUp(raw) {
				gone()
				return
			}
		case <-over:
			return
		}
	}
}
