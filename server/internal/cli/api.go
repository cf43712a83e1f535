package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

// Limits of the command line's own side of the API.
const (
	defaultServer = "http://127.0.0.1:8080"
	// answerTime is how long a call may take: a deploy compiles the module, a second for each 3 MB on a slow machine.
	answerTime = 5 * time.Minute
	// connectTime bounds connecting and the TLS handshake.
	connectTime = 10 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 32 << 20
)

// api talks to one server.
type api struct {
	base  *url.URL
	token string // sent, never printed
	http  *http.Client
	wire  *http.Transport // of http
}

// connect makes the client for the server that the environment names. Nothing is sent yet.
func (a *app) connect() (*api, error) {
	server := a.getenv("SORTIE_SERVER")
	if server == "" {
		server = defaultServer
	}
	return newAPI(server, a.getenv("SORTIE_TOKEN"))
}

func newAPI(server, token string) (*api, error) {
	base, err := url.Parse(server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, misuse("SORTIE_SERVER must be a URL such as %s", defaultServer)
	}
	if base.User != nil {
		return nil, misuse("SORTIE_SERVER can't hold a user or a password: put the token into SORTIE_TOKEN")
	}
	dialer := &net.Dialer{Timeout: connectTime}
	wire := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: connectTime,
		DisableKeepAlives: true, // a command makes one call, or two
	}
	return &api{base: base, token: token, wire: wire, http: &http.Client{
		Timeout: answerTime, Transport: wire,
		// A redirect would carry the token to whoever the answer names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// resolve makes an address in an answer absolute; servers give a path.
func (c *api) resolve(ref string) string {
	if u, err := c.base.Parse(ref); err == nil {
		return u.String()
	}
	return ref
}

// call makes one call and returns the answer's body. path begins with /v1; an empty contentType sends no body. Failures are
// worded for the person at the terminal.
func (c *api) call(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) ([]byte, error) {
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, c.problem(res, answer)
	}
	return answer, nil
}

// request makes a request with the token, which isn't sent yet.
func (c *api) request(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Request, error) {
	target := *c.base
	target.Path = strings.TrimSuffix(target.Path, "/") + path
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// stream begins a GET whose answer has no end in sight: neither its time nor its size are bounded. lastSeen is the id of the last
// event that was seen; "": none was.
func (c *api) stream(ctx context.Context, path string, query url.Values, lastSeen string) (io.ReadCloser, error) {
	req, err := c.request(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream, application/problem+json")
	if lastSeen != "" {
		req.Header.Set("Last-Event-ID", lastSeen)
	}
	endless := *c.http
	endless.Timeout = 0
	res, err := endless.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode == http.StatusOK && media == "text/event-stream" {
		return res.Body, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	return nil, c.problem(res, answer)
}

func (c *api) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server answers at %s: start one with `sortie serve`, or set SORTIE_SERVER", c.base)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%s can't be reached: %w; check SORTIE_SERVER", c.base, err)
}

// problem is a failure that the server reported (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Status int    `json:"-"`
	Sent   bool   `json:"-"` // a token went along
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	text = lines[0]
	if len(lines) > 1 {
		text = fmt.Sprintf("%s (and %d more)", text, len(lines)-1)
	}
	switch {
	case p.Status == http.StatusUnauthorized && strings.HasPrefix(text, "The token "): // expired, or revoked
	case p.Status == http.StatusUnauthorized && p.Sent:
		return "the server refused the token in SORTIE_TOKEN (" + p.Code + "): set it to one that the server accepts"
	case p.Status == http.StatusUnauthorized:
		return "the server needs a token (" + p.Code + "): set SORTIE_TOKEN to one that it accepts"
	case p.Code == "plugin_not_found":
		text = strings.TrimSuffix(text, ".") + "; `sortie list` shows what there is"
	}
	return fmt.Sprintf("the server says %s: %s", p.Code, text)
}

func (c *api) problem(res *http.Response, answer []byte) error {
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	p := &problem{Status: res.StatusCode, Sent: c.token != ""}
	if err != nil || media != "application/problem+json" || json.Unmarshal(answer, p) != nil || p.Code == "" {
		return fmt.Errorf("%s answers %s, and not as a sortie server does: check SORTIE_SERVER", c.base, res.Status)
	}
	return p
}

// get decodes the answer to a GET.
func (c *api) get(ctx context.Context, path string, into any) error {
	answer, err := c.call(ctx, http.MethodGet, path, nil, "", nil)
	if err != nil {
		return err
	}
	return c.decode(answer, into)
}

func (c *api) decode(answer []byte, into any) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s answers with JSON that isn't a sortie server's: check SORTIE_SERVER", c.base)
	}
	return nil
}

// deployed is the part of a deploy's answer that is shown.
type deployed struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"`
	URL     string `json:"url"`
	Signer  string `json:"signer"` // "": the server checked no signature
	Clamped []struct {
		Key   string `json:"key"`
		Asked string `json:"asked"`
		Got   string `json:"got"`
	} `json:"clamped"`
	raw json.RawMessage
}

// deployment is what is uploaded as a version.
type deployment struct {
	name      string
	manifest  []byte
	wasm      []byte
	signature []byte // nil: none
	note      string
}

// deploy uploads a version. Without traffic the version is stored and takes none; the same module and manifest again is the same
// version, which takes the traffic then if it is to. A module that is damaged on its way is refused.
func (c *api) deploy(ctx context.Context, what deployment, traffic bool) (*deployed, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, part := range []struct {
		name, file string
		data       []byte
	}{{"manifest", "plugin.yaml", what.manifest}, {"wasm", "plugin.wasm", what.wasm}, {"signature", "plugin.wasm.minisig", what.signature}} {
		if part.name == "signature" && part.data == nil {
			continue
		}
		w, err := form.CreateFormFile(part.name, part.file)
		if err == nil {
			_, err = w.Write(part.data)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := form.Close(); err != nil {
		return nil, err
	}
	query := (&noted{note: what.note}).query()
	query.Set("digest", store.Digest(what.wasm))
	if !traffic {
		query.Set("traffic", "none")
	}
	answer, err := c.call(ctx, http.MethodPut, pluginPath(what.name), query, form.FormDataContentType(), body.Bytes())
	if err != nil {
		return nil, err
	}
	d := &deployed{raw: answer}
	if err := c.decode(answer, d); err != nil {
		return nil, err
	}
	d.URL = c.resolve(d.URL)
	return d, nil
}

func pluginPath(name string) string { return "/v1/plugins/" + name }
