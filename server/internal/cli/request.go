package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host"
)

// request reads the flags that make run's request. What the plugin gets is what a server would give it of the same request.
func (a *app) request(o runOptions) (*host.Request, error) {
	if !strings.HasPrefix(o.path, "/") {
		return nil, misuse("--path %s: it must begin with /", o.path)
	}
	target, err := url.Parse("http://localhost" + o.path)
	if err != nil || target.Fragment != "" {
		return nil, misuse("--path %s: it must be a path, and a query if need be, as they stand in a URL", o.path)
	}
	if err := checkMethod(o.method); err != nil {
		return nil, err
	}
	header, err := requestHeader(o.headers)
	if err != nil {
		return nil, err
	}
	body, err := a.body(o.data)
	if err != nil {
		return nil, err
	}
	req := &host.Request{
		Method: o.method, Path: target.EscapedPath(), RawQuery: target.RawQuery, Host: "localhost", RemoteAddr: "127.0.0.1:0",
		Header: header, Body: body,
	}
	if named := header.Get("Host"); named != "" {
		req.Host = named
	}
	header.Del("Host")
	header.Del("Content-Length") // the body's own counts
	return req, nil
}

// checkMethod tells whether method can stand in a request; "" stands for the default.
func checkMethod(method string) error {
	if method != "" && !httpguts.ValidHeaderFieldName(method) { // both are tokens
		return misuse("-X %s: it must be a method, such as POST", method)
	}
	return nil
}

func requestHeader(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, misuse("-H %s: write it as 'Name: value'", line)
		}
		header.Add(name, value)
	}
	return header, nil
}

func (a *app) body(data string) ([]byte, error) {
	name, file := strings.CutPrefix(data, "@")
	switch {
	case !file:
		return []byte(data), nil
	case name == "-":
		return io.ReadAll(a.stdin)
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("-d %s: %w", data, err)
	}
	return body, nil
}
