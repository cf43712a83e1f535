package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sortie-run/sortie/server/internal/sealed"
)

// planting is a server, what is planted, and everything it shows.
type planting struct {
	t           *testing.T
	binary, dir string
	client      *http.Client
	upstream    *httptest.Server
	proxied     string // an origin behind the proxy
	url         string // the server's
	token       string // what is sent to it
	env         []string

	control, logged string
	cookie          string // the upstream's
	admin, key      string
	config          string
	tokens          map[string]string // by name
	ids             []string          // of invocations, the newest last
	values          []plantedValue

	mu       sync.Mutex
	exhibits []exhibit
}

// plant makes a value. Its name says what it is.
func (p *planting) plant(name string) string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return p.planted(name, hex.EncodeToString(b[:]))
}

func (p *planting) planted(name, value string) string {
	p.values = append(p.values, plantedValue{name, []byte(value)})
	return value
}

func (p *planting) show(place string, text []byte, shows ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exhibits = append(p.exhibits, exhibit{place, text, shows})
}

func (p *planting) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *planting) write(name, text string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	p.must(os.MkdirAll(filepath.Dir(file), 0o700))
	p.must(os.WriteFile(file+"~", []byte(text), 0o600))
	p.must(os.Rename(file+"~", file))
	return file
}

// operators are the secrets that the operator gives out. An upstream may send one back, and then it's the plugin's to show in its answer, but in
// nothing that we say of it.
var operators = []string{"secret by env", "secret by file", "secret by file, changed", "secret by file, once more", "stored secret", "rotated secret", "secret with signs"}

// prepare makes what the server is started with.
func (p *planting) prepare() {
	t := p.t
	var b [16]byte
	_, _ = rand.Read(b[:])
	p.control = "m" + hex.EncodeToString(b[:])
	_, _ = rand.Read(b[:])
	p.logged = hex.EncodeToString(b[:])
	p.admin = p.plant("SORTIE_ADMIN_TOKEN")
	p.key = p.ageKey("SORTIE_SECRETS_KEY")
	p.tokens = map[string]string{}
	p.cookie = p.plant("upstream's Set-Cookie")

	p.upstream = httptest.NewServer(http.HandlerFunc(p.echoUpstream))
	t.Cleanup(p.upstream.Close)
	behind := httptest.NewServer(http.HandlerFunc(p.echoUpstream))
	t.Cleanup(behind.Close)
	p.proxied = behind.URL
	proxy := httptest.NewServer(http.HandlerFunc(echoProxy))
	t.Cleanup(proxy.Close)

	p.write("file.txt", p.plant("secret by file")+"\n")
	p.env = []string{"HOME=" + p.dir, "PLANTED_ENV=" + p.plant("secret by env")}
	p.config = p.write("sortie.yaml", fmt.Sprintf(`log: {level: debug}
private: ["http://127.0.0.1:*"]
secrets:
  BY_ENV: {env: PLANTED_ENV, allow: [%[1]q], plugins: ["*"]}
  BY_FILE: {file: file.txt, allow: [%[1]q], plugins: ["*"]}
upstreams: [{match: [%[2]q], proxy: "http://operator:%[3]s@%[4]s"}]
plugins:
  quota: {quota: {requests: 1}}
  "m*": {quota: {requests: 1000}}
  rate: {rate: 1/m}
  seeing: {access: public}
process: {invocations: 4, queue: 2, drain: 5s}
signatures: {keys: [%[5]q]}
`, p.upstream.URL, p.proxied, p.plant("proxy password"), strings.TrimPrefix(proxy.URL, "http://"),
		"RWQRAAAAAAAAAJTcgvKtN4z0fL1dVw8mqlGK9Ojrw9uOUtqZa1U0Zm0C"))
}

func (p *planting) ageKey(name string) string {
	text, err := sealed.Generate()
	p.must(err)
	key := text[strings.Index(text, "AGE-SECRET-KEY-1"):]
	key = strings.TrimSpace(key)
	p.planted(name, strings.TrimPrefix(key, "AGE-SECRET-KEY-1"))
	return key
}

// echoUpstream sends back what it got, in every place it can. With ?of=secrets that is what the operator gave, else what the plugin did.
func (p *planting) echoUpstream(w http.ResponseWriter, r *http.Request) {
	names, cookie := []string{"Authorization", "Cookie", "Proxy-Authorization"}, p.cookie
	if r.URL.Query().Get("of") == "secrets" {
		names, cookie = []string{"X-Env", "X-File", "X-Stored", "X-Signs"}, "none"
	}
	w.Header().Set("Set-Cookie", "got="+cookie+"; Path=/")
	var got []string
	for _, name := range names {
		if v := r.Header.Get(name); v != "" {
			got = append(got, v)
		}
	}
	all := strings.Join(got, " ")
	raw := func(text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}
	switch r.URL.Path {
	default: // the marker is in the path
		w.Header().Set("X-Echo", all)
		_, _ = io.WriteString(w, all)
	case "/redirect":
		w.Header().Set("Location", "/landed/"+url.PathEscape(all)+"?of="+r.URL.Query().Get("of")+"&got="+url.QueryEscape(all))
		w.WriteHeader(http.StatusFound)
	case "/redirect-raw":
		raw("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: /landed?of=" + r.URL.Query().Get("of") + "&got=" + strings.ReplaceAll(all, " ", "+") + "\r\n\r\n")
	case "/redirect-denied":
		http.Redirect(w, r, "http://denied.example/"+all, http.StatusFound)
	case "/redirect-userinfo":
		http.Redirect(w, r, "http://user:"+strings.ReplaceAll(all, " ", "")+"@denied.example/", http.StatusFound)
	case "/redirect-bad":
		raw("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: http://[" + all + "\r\n\r\n")
	case "/reason":
		raw("HTTP/1.1 500 " + all + "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	case "/status":
		raw("HTTP/1.1 " + all + " no\r\n\r\n")
	case "/garbled":
		raw(all + "\r\n\r\n")
	case "/field":
		raw("HTTP/1.1 200 OK\r\nno field " + all + "\r\n\r\n")
	case "/length":
		raw("HTTP/1.1 200 OK\r\nContent-Length: " + all + "\r\n\r\n")
	case "/transfer":
		raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: " + all + "\r\n\r\n")
	case "/chunks":
		raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + all + "\r\n")
	case "/coding":
		w.Header().Set("Content-Encoding", all)
		_, _ = io.WriteString(w, all)
	case "/zip":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, all)
	case "/slow":
		select {
		case <-r.Context().Done():
		case <-time.After(700 * time.Millisecond):
		}
		_, _ = io.WriteString(w, all)
	}
}

// upstreamPaths are those that answer with an echo.
var upstreamPaths = []string{
	"/redirect", "/redirect-raw", "/redirect-denied", "/redirect-userinfo", "/redirect-bad", "/reason", "/status", "/garbled", "/field", "/length", "/transfer", "/chunks", "/coding", "/zip",
}

// echoProxy refuses, and says with which credentials.
func echoProxy(w http.ResponseWriter, r *http.Request) {
	got := r.Header.Get("Proxy-Authorization")
	plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(got, "Basic "))
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 407 %s\r\nX-Got: %s\r\nProxy-Authenticate: Basic realm=%q\r\nContent-Length: %d\r\n\r\n%s", plain, got, plain, len(plain), plain)
}

// sortie runs a command to its end.
func (p *planting) sortie(shows []string, stdin string, args ...string) (out string, status int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.binary, args...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(stdin)
	cmd.Env = append(slices.Clone(p.env), "SORTIE_SERVER="+p.url, "SORTIE_TOKEN="+p.token, "SORTIE_ADMIN_TOKEN="+p.admin, "SORTIE_SECRETS_KEY="+p.key)
	return p.ran(cmd, "sortie "+strings.Join(args, " "), shows)
}

func (p *planting) ran(cmd *exec.Cmd, place string, shows []string) (out string, status int) {
	p.t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		p.t.Fatal(err)
	}
	p.show(place, slices.Concat(stdout, []byte("\n"), stderr.Bytes()), shows...)
	return string(stdout), cmd.ProcessState.ExitCode()
}

// done runs a command that must succeed.
func (p *planting) done(args ...string) string {
	p.t.Helper()
	return p.doneWith("", args...)
}

func (p *planting) doneWith(stdin string, args ...string) string {
	p.t.Helper()
	out, status := p.sortie(nil, stdin, args...)
	if status != 0 {
		p.t.Errorf("sortie %q: status %d: %s", args, status, p.exhibits[len(p.exhibits)-1].text)
	}
	return out
}

// failing runs a command that must fail.
func (p *planting) failing(args ...string) {
	p.t.Helper()
	if out, status := p.sortie(nil, "", args...); status == 0 {
		p.t.Errorf("sortie %q: %s", args, out)
	}
}

// refusedStarts are servers that don't start, each for a value in a wrong place.
func (p *planting) refusedStarts() {
	bad := p.write("bad.yaml", fmt.Sprintf("admin_token: %s\nsecrets: {DIRECT: %s, VALUE: {value: %s, allow: [\"https://a.example\"], plugins: [a]}}\n"+
		"upstreams: [{match: [\"https://a.example\"], proxy: \"http://user:%s@proxy.test:99999\"}]\n",
		p.plant("token in sortie.yaml"), p.plant("secret in sortie.yaml"), p.plant("secret as value in sortie.yaml"), p.plant("password of a wrong proxy")))
	broken := p.write("broken.yaml", "secrets: {A: {value: \""+p.plant("secret in broken YAML")+"\n")
	for _, file := range []string{bad, broken} {
		p.failing("config", "check", file)
		p.failing("config", "check", file, "--json")
		p.failing("serve", "--addr", "127.0.0.1:0", "--data", "nowhere", "--config", file)
		p.sortie(nil, "", "doctor", "--data", "nowhere", "--config", file)
		p.sortie(nil, "", "doctor", "--json", "--data", "nowhere", "--config", file)
	}
	for name, env := range map[string]string{
		"key":      "SORTIE_SECRETS_KEY=AGE-SECRET-KEY-1" + strings.ToUpper(p.plant("malformed key")),
		"no key":   "SORTIE_SECRETS_KEY=" + p.plant("no key at all"),
		"misspelt": "SORTIE_ADMIN_TOKN=" + p.plant("token in a misspelt variable"),
		"secret":   "SORTIE_SECRETS__DIRECT=" + p.plant("secret in a variable of the configuration"),
		"value":    "PLANTED_ENV=" + p.plant("secret of two lines") + "\nmore",
		"proxy":    "SORTIE_UPSTREAMS=http://user:" + p.plant("password in a variable") + "@proxy",
	} {
		cmd := exec.CommandContext(p.t.Context(), p.binary, "serve", "--addr", "127.0.0.1:0", "--data", "nowhere", "--config", p.config)
		cmd.Dir, cmd.Env = p.dir, append(slices.Clone(p.env), "SORTIE_ADMIN_TOKEN="+p.admin, env)
		if _, status := p.ran(cmd, "a server's refusal: "+name, nil); status != 1 {
			p.t.Errorf("%s: status %d", name, status)
		}
	}
	p.done("config", "check", p.config)
	p.done("config", "check", p.config, "--json")
}

// serving is a server that runs.
type serving struct {
	*process
	stop func()
}

// serve starts the server.
func (p *planting) serve(data string, env ...string) *serving {
	p.t.Helper()
	cmd := exec.Command(p.binary, "serve", "--addr", "127.0.0.1:0", "--data", data, "--config", p.config)
	cmd.Dir, cmd.Env = p.dir, append(append(slices.Clone(p.env), "SORTIE_ADMIN_TOKEN="+p.admin), env...)
	stdout, err := cmd.StdoutPipe()
	p.must(err)
	stderr, err := cmd.StderrPipe()
	p.must(err)
	p.must(cmd.Start())
	s := &serving{process: &process{cmd: cmd, stdout: record(stdout), stderr: record(stderr)}}
	ended := sync.OnceFunc(func() {
		_ = s.wait()
		p.show("server log", []byte(s.stdout.text()+s.stderr.text()))
	})
	s.stop = func() { _ = cmd.Process.Signal(syscall.SIGINT); ended() }
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); ended() })
	p.url = ""
	err = s.stderr.until(func(lines []string) bool {
		for _, l := range lines {
			if rest, ok := strings.CutPrefix(l, "listening on "); ok {
				p.url = rest
			}
		}
		return p.url != ""
	})
	if err != nil {
		p.t.Fatalf("the server doesn't start: %v\n%s", err, s.stderr.text())
	}
	p.token = p.admin
	return s
}

// says waits for a line of the server's.
func (p *planting) says(s *serving, text string) {
	p.t.Helper()
	if err := s.stderr.until(func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), text) }); err != nil {
		p.t.Fatalf("%s: %v\n%s", text, err, s.stderr.text())
	}
}

// seenAnswer is an answer of the server.
type seenAnswer struct {
	status int
	header http.Header
	body   []byte
}

// ask makes a request, with the token unless the header has one, and keeps the answer. header are names and values; a name may come twice.
func (p *planting) ask(shows []string, method, path string, body []byte, header ...string) seenAnswer {
	p.t.Helper()
	a, err := p.try(p.t.Context(), shows, method, path, body, header...)
	p.must(err)
	return a
}

func (p *planting) try(ctx context.Context, shows []string, method, path string, body []byte, header ...string) (a seenAnswer, err error) {
	r, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if r.Header["Authorization"] == nil && r.Header["Sortie-Authorization"] == nil && p.token != "" {
		r.Header.Set("Sortie-Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a = seenAnswer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	var head bytes.Buffer
	_ = resp.Header.Write(&head)
	place, _, _ := strings.Cut(path, "?")
	p.show(method+" "+place, slices.Concat([]byte(resp.Status+"\n"), head.Bytes(), a.body), shows...)
	if id := resp.Header.Get("Sortie-Invocation"); id != "" {
		p.mu.Lock()
		p.ids = append(p.ids, id)
		p.mu.Unlock()
	}
	return a, err
}

// wants makes a request that must have this status.
func (p *planting) wants(status int, method, path string, body []byte, header ...string) seenAnswer {
	p.t.Helper()
	a := p.ask(nil, method, path, body, header...)
	p.check(a, status)
	return a
}

func (p *planting) check(a seenAnswer, status int) {
	p.t.Helper()
	if a.status != status {
		p.t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
}

// deployed deploys by the API.
func (p *planting) deployed(status int, name, manifest string, module []byte, parts ...string) {
	p.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part := func(name string, data []byte) {
		w, err := form.CreateFormFile(name, name)
		p.must(err)
		_, err = w.Write(data)
		p.must(err)
	}
	part("manifest", []byte(manifest))
	part("wasm", module)
	for i := 0; i+1 < len(parts); i += 2 {
		part(parts[i], []byte(parts[i+1]))
	}
	p.must(form.Close())
	p.wants(status, http.MethodPut, "/v1/plugins/"+name, body.Bytes(), "Content-Type", form.FormDataContentType())
}

// create makes a token. Its answer is the one place that shows it.
func (p *planting) create(name, request string) string {
	p.t.Helper()
	a := p.ask([]string{name}, http.MethodPost, "/v1/tokens", []byte(request), "Content-Type", "application/json")
	var made struct{ Token string }
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusCreated {
		p.t.Fatalf("%d %s", a.status, a.body)
	}
	return p.tokenOf(name, made.Token)
}

func (p *planting) tokenOf(name, token string) string {
	p.tokens[name] = token
	p.planted(name, token[strings.LastIndexByte(token, '_')+1:]) // the rest is its id
	return token
}
