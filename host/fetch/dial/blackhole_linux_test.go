package dial

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// blackhole is a port of 127.0.0.1 where connections are neither taken nor
// refused: a listener whose queue, of one, is full. Linux drops what else comes.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Listen(fd, 0),
	); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	first, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return port
}

func TestConnectTimeoutCoversConnecting(t *testing.T) {
	t.Parallel()
	port := blackhole(t)
	d := New(Config{Resolver: answering("127.0.0.1")})
	_, err := d.DialContext(t.Context(), "hole.example", port, nil, 50*time.Millisecond)
	wantCode(t, err, failure.ConnectTimeout)
}

func TestCancellationEndsConnecting(t *testing.T) {
	t.Parallel()
	port := blackhole(t)
	errGuest := errors.New("the guest cancelled")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errGuest) })
	d := New(Config{Resolver: answering("127.0.0.1")})
	start := time.Now()
	_, err := d.DialContext(ctx, "hole.example", port, nil, time.Hour)
	if err != errGuest || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %s, want %v", err, time.Since(start), errGuest)
	}
}

// One address that answers nothing doesn't keep the next from being tried.
func TestABlackholeDelaysByTheStagger(t *testing.T) {
	t.Parallel()
	port := blackhole(t)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	d := New(Config{Resolver: answering("127.0.0.1", "127.0.0.2"), Stagger: 5 * time.Millisecond})
	conn, err := d.DialContext(t.Context(), "hole.example", port, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if host, _, _ := net.SplitHostPort(conn.RemoteAddr().String()); host != "127.0.0.2" {
		t.Errorf("connected to %s", host)
	}
}
