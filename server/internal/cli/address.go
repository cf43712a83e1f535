package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// checkAddr tells whether --addr is an address to listen on.
func checkAddr(ctx context.Context, addr string) error {
	if addr == "" {
		return misuse("--addr is empty: give it as host:port")
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(ctx, "tcp", port)
	}
	switch _, bare := strconv.ParseUint(addr, 10, 16); {
	case bare == nil:
		return misuse("--addr %s: write 127.0.0.1:%s", addr, addr)
	case err != nil:
		return misuse("--addr %s: write it as host:port, such as 127.0.0.1:9004", addr)
	}
	return nil
}

// listen takes the address. Errors say what to do.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken: choose another address with --addr %s, or another port with PORT=9000 for make run", addr, otherPort(addr))
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on by this user: choose a port above 1023 with --addr", addr)
	}
	return nil, fmt.Errorf("can't listen on %s: %w; choose another address with --addr", addr, err)
}

// otherPort is addr with a port that is always free to ask for.
func otherPort(addr string) string {
	hostname, _, err := net.SplitHostPort(addr)
	if err != nil {
		hostname = "127.0.0.1"
	}
	return net.JoinHostPort(hostname, "0")
}

// reachable is where this machine reaches a listener: on loopback if it listens everywhere.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
}
