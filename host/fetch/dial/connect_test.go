package dial

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConnect: what is asked, which answers make a tunnel, and that all that comes behind their heads belongs to it.
func TestConnect(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 10<<10)
	for name, head := range map[string]string{
		"plain":                  "HTTP/1.1 200 Connection established\r\n\r\n",
		"HTTP/1.0":               "HTTP/1.0 200 OK\r\n\r\n",
		"without a reason":       "HTTP/1.1 200\r\n\r\n",
		"with line feeds":        "HTTP/1.1 200 OK\nX: y\n\n",
		"204":                    "HTTP/1.1 204 No Content\r\n\r\n",
		"299":                    "HTTP/1.1 299 Odd\r\n\r\n",
		"a length that is void":  "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
		"lengths that are worse": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Length: x\r\n\r\n",
		"chunks that are none":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"a connection to close":  "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
		"a folded field":         "HTTP/1.1 200 OK\r\nX: y\r\n\tand z\r\n\r\n",
		"hints first":            strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", maxInterim) + "HTTP/1.1 200 OK\r\n\r\n",
		"a head just so long":    "HTTP/1.1 200 OK\r\n" + field(maxProxyHead-len("HTTP/1.1 200 OK\r\n\r\n")) + "\r\n",
	} {
		for size, early := range map[string]string{"nothing": "", "a word": "hello", "much": long, "what looks like a head": "HTTP/1.1 407 No\r\n\r\n"} {
			t.Run(name+", behind it "+size, func(t *testing.T) {
				t.Parallel()
				p := serveProxy(t, connecting(head+early))
				d := New(Config{Resolver: answering("2001:db8::7")})
				conn, err := d.Dial(t.Context(), Target{Host: "up.example", Port: "443", Proxy: mustProxy(t, "http://me:pa%20ss@"+p.addr)}, time.Minute, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				got := make([]byte, len(early))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != early {
					t.Errorf("%.40q, %v", got, err)
				}
				want := "CONNECT [2001:db8::7]:443 [2001:db8::7]:443 Basic bWU6cGEgc3M="
				if got := p.asked(); len(got) != 1 || got[0] != want {
					t.Errorf("asked %q, want %q", got, want)
				}
			})
		}
	}
}

// field is a header field of n bytes.
func field(n int) string { return "X: " + strings.Repeat("x", n-len("X: \r\n")) + "\r\n" }

func TestConnectFailures(t *testing.T) {
	t.Parallel()
	endless := func(piece string) string { return strings.Repeat(piece, 1<<20/len(piece)) }
	for _, tc := range []struct{ name, answer, want string }{
		{"it refuses the credentials", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "refuses the operator's credentials (status 407)"},
		{"and says no more", "HTTP/1.1 407 No\r\n", "refuses the operator's credentials"},
		{"it repeats the credentials", "HTTP/1.1 403 me:hunter2\r\nX: hunter2\r\n\r\nhunter2", "status 403"},
		{"it can't", "HTTP/1.1 502 No\r\nContent-Length: 3\r\n\r\nsee", "status 502"},
		{"it wants the request elsewhere", "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.77/\r\n\r\n", "status 302"},
		{"it switches protocols", "HTTP/1.1 101 Yes\r\n\r\n", "status 101"},
		{"it speaks another language", "220 smtp.example ready\r\n", "no valid answer"},
		{"or another HTTP", "HTTP/2 200\r\n\r\n", "no valid answer"},
		{"or none at all", "\x00\xff\x15\x03\n\n\n", "no valid answer"},
		{"its status is none", "HTTP/1.1 20 OK\r\n\r\n", "no valid answer"},
		{"or too much of one", "HTTP/1.1 2000 OK\r\n\r\n", "no valid answer"},
		{"or not a number", "HTTP/1.1 +20 OK\r\n\r\n", "no valid answer"},
		{"or out of range", "HTTP/1.1 600 OK\r\n\r\n", "no valid answer"},
		{"a field has no name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "no valid answer"},
		{"a field is none", "HTTP/1.1 200 OK\r\nhello\r\n\r\n", "no valid answer"},
		{"its first field goes on", "HTTP/1.1 200 OK\r\n x: y\r\n\r\n", "no valid answer"},
		{"its status line has no end", "HTTP/1.1 200 " + endless("x"), "too long"},
		{"a field has no end", "HTTP/1.1 200 Fine\r\nX: " + endless("x"), "too long"},
		{"its fields have no end", "HTTP/1.1 200 Fine\r\n" + endless("X: y\r\n"), "too long"},
		{"its head is a byte too long", "HTTP/1.1 200 OK\r\n" + field(maxProxyHead+1-len("HTTP/1.1 200 OK\r\n\r\n")) + "\r\n", "too long"},
		{"it has interim answers only", endless("HTTP/1.1 100 Continue\r\n\r\n"), "no valid answer"},
		{"it has one too many", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim+1) + "HTTP/1.1 200 OK\r\n\r\n", "no valid answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, connecting(tc.answer))
			_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "http://me:hunter2@"+p.addr)}, time.Minute, nil)
			wantProxyError(t, err, tc.want, "hunter2", "192.0.2.77", p.addr, "me:")
			p.closed(t)
		})
	}
	t.Run("it wants credentials", func(t *testing.T) {
		t.Parallel()
		p := serveProxy(t, connecting("HTTP/1.1 407 No\r\n\r\n"))
		_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "http://"+p.addr)}, time.Minute, nil)
		wantProxyError(t, err, "asks for credentials, and the operator has given none (status 407)", p.addr)
	})
	for name, text := range map[string]string{"at once": "", "in the status": "HTTP/1.1 2", "in the head": "HTTP/1.1 200 OK\r\nX: y\r\n"} {
		t.Run("it hangs up "+name, func(t *testing.T) {
			t.Parallel()
			p := serveProxy(t, func(p *proxying, c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
					t.Error(err)
				}
				p.note("x")
				io.WriteString(c, text)
			})
			_, err := New(Config{}).Dial(t.Context(), Target{Host: "192.0.2.77", Port: "80", Proxy: mustProxy(t, "http://me:hunter2@"+p.addr)}, time.Minute, nil)
			wantProxyError(t, err, "closed the connection", "hunter2", "192.0.2.77", p.addr)
		})
	}
}

// FuzzReadConnect: whatever a proxy answers is taken or refused within bounds, and net/http, where it understands it, agrees.
func FuzzReadConnect(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\n\r\nrest", "HTTP/1.1 100 C\r\n\r\nHTTP/1.0 407 X\r\nContent-Length: 99\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200\nA: b\n c\n\nx", "HTTP/1.1 299 \r\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := bytes.NewReader(data)
		r := bufio.NewReaderSize(src, maxProxyHead)
		status, err := readConnect(r)
		read := len(data) - src.Len() - r.Buffered()
		if read > (maxInterim+2)*maxProxyHead {
			t.Errorf("%d bytes were read", read)
		}
		if err != nil {
			return
		}
		if status < 101 || status > 599 || status/100 == 1 && status != 101 {
			t.Fatalf("status %d", status)
		}
		if status/100 != 2 {
			return
		}
		head := data[:read]
		if !bytes.HasSuffix(head, []byte("\n\n")) && !bytes.HasSuffix(head, []byte("\n\r\n")) {
			t.Errorf("the tunnel begins after %q", head)
		}
		other := bufio.NewReader(bytes.NewReader(head))
		for {
			resp, err := http.ReadResponse(other, &http.Request{Method: http.MethodConnect})
			if err != nil {
				return // it is stricter with fields, which count for nothing here
			}
			if resp.StatusCode/100 == 1 {
				continue
			}
			if rest, _ := io.ReadAll(other); resp.StatusCode != status || len(rest) != 0 {
				t.Errorf("%q: status %d and %q, net/http's %d", head, status, rest, resp.StatusCode)
			}
			return
		}
	})
}
