package dial

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
)

// The bounds of a proxy's answer to CONNECT.
const (
	maxProxyHead = 16 << 10 // bytes of each head
	maxInterim   = 8        // answers before the final one
)

// connect asks by CONNECT. There is no name in what it sends.
func (p *Proxy) connect(conn net.Conn, target netip.AddrPort) (net.Conn, *fault) {
	head := "CONNECT " + target.String() + " HTTP/1.1\r\nHost: " + target.String() + "\r\n"
	if p.user != nil {
		password, _ := p.user.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, garbled(err)
	}
	r := bufio.NewReaderSize(conn, maxProxyHead)
	status, err := readConnect(r)
	switch {
	case err != nil:
		return nil, garbled(err)
	case status == http.StatusProxyAuthRequired:
		return nil, p.refusal(errors.New("CONNECT: status 407"), " (status 407)")
	case status/100 != 2:
		return nil, &fault{reason: fmt.Sprintf("it answered with status %d", status), err: fmt.Errorf("CONNECT: status %d", status)}
	}
	early, _ := r.Peek(r.Buffered())
	if len(early) == 0 {
		return conn, nil
	}
	return &tunnelled{conn, bytes.Clone(early)}, nil
}

// tunnelled is a connection of which something was read already.
type tunnelled struct {
	net.Conn
	early []byte
}

// Read gives what was read first. It isn't for several goroutines at once.
func (t *tunnelled) Read(p []byte) (int, error) {
	if len(t.early) == 0 {
		return t.Conn.Read(p)
	}
	n := copy(p, t.early)
	if t.early = t.early[n:]; len(t.early) == 0 {
		t.early = nil
	}
	return n, nil
}

var (
	errLongHead = errors.New("the head of the proxy's answer is too long")
	errBadHead  = errors.New("the proxy's answer is not HTTP/1")
	errInterim  = errors.New("the proxy gives interim answers only")
)

// readConnect reads the answer to CONNECT and returns its status. Of a 2xx it leaves r behind the head, where the tunnel begins whatever
// the head says of a length (RFC 9110, section 9.3.6); of another it reads no more than the first line. Interim answers are skipped, but
// for 101: nobody asked to switch protocols. r buffers maxProxyHead bytes.
func readConnect(r *bufio.Reader) (int, error) {
	for range maxInterim + 1 {
		size := 0
		line, err := readLine(r, &size)
		if err != nil {
			return 0, err
		}
		status, ok := parseStatus(line)
		switch {
		case !ok:
			return 0, errBadHead
		case status/100 != 2 && (status/100 != 1 || status == http.StatusSwitchingProtocols):
			return status, nil
		}
		if err := skipFields(r, &size); err != nil {
			return 0, err
		}
		if status/100 == 2 {
			return status, nil
		}
	}
	return 0, errInterim
}

// parseStatus reads an HTTP/1 status line (RFC 9112, section 4). The reason is the proxy's own text: nobody looks at it.
func parseStatus(line []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	const shape = "1 200"
	if !ok || len(rest) < len(shape) || !isDigit(rest[0]) || rest[1] != ' ' || len(rest) > len(shape) && rest[len(shape)] != ' ' {
		return 0, false
	}
	status := 0
	for _, c := range rest[2:len(shape)] {
		if !isDigit(c) {
			return 0, false
		}
		status = status*10 + int(c-'0')
	}
	return status, status >= 100 && status < 600
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// skipFields reads header fields to the empty line after them.
func skipFields(r *bufio.Reader, size *int) error {
	for first := true; ; first = false {
		line, err := readLine(r, size)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		// A line that goes on with the field before it is obsolete and still met (RFC 9112, section 5.2).
		folded := line[0] == ' ' || line[0] == '\t'
		if folded && first || !folded && bytes.IndexByte(line, ':') <= 0 {
			return errBadHead
		}
	}
}

// readLine returns the next line without its end, CRLF or LF, valid until the next. size is what the head has so far.
func readLine(r *bufio.Reader, size *int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if *size += len(line); *size > maxProxyHead || errors.Is(err, bufio.ErrBufferFull) {
		return nil, errLongHead
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}
