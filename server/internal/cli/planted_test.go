package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
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

	wabin "github.com/tetratelabs/wabin/binary"
	"github.com/tetratelabs/wabin/leb128"
	"github.com/tetratelabs/wabin/wasm"

	"github.com/sortie-run/sortie/server/internal/sealed"
)

// TestPlanted takes a server through everything it does, with tokens, secrets and credentials that are found nowhere else, and then searches all that
// it printed, seenAnswer, reported, counted, stored and backed up for them.
func TestPlanted(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	p := &planting{t: t, binary: binary, dir: t.TempDir(), client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	p.prepare()
	p.refusedStarts()
	p.firstRun()
	p.secondRun()
	p.restored()
	p.stored("data", filepath.Join(p.dir, "data"))
	for _, l := range search(p.values, p.exhibits) {
		t.Error(l)
	}

	// What this is worth: a value that is meant to be seen is seen everywhere.
	control := []plantedValue{{p.control, []byte(p.control[1:])}}
	var seen []string
	for _, l := range search(control, p.exhibits) {
		seen = append(seen, l.place)
	}
	for _, place := range []string{
		"server log", "report ", "HAR ", "GET /metrics", "backup", "data/usage.json", "data/store/", "restored/store/", "GET /v1/plugins/" + p.control,
		"GET /v1/audit", "sortie list", "sortie list --json", "sortie traffic", "sortie audit", "sortie trace", "sortie logs", "sortie logs -f", "GET follow=true",
	} {
		if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, place) }) {
			t.Errorf("the control value isn't found in %s: nothing is said by not finding the others there", place)
		}
	}
	if !slices.ContainsFunc(p.exhibits, func(e exhibit) bool { return strings.HasPrefix(e.place, "data/cache/") }) {
		t.Error("no compiled module was looked at")
	}
	t.Run("a plugin that logs one", func(t *testing.T) {
		var places []string
		for _, l := range search([]plantedValue{{"logged", []byte(p.logged)}}, p.exhibits) {
			places = append(places, l.place)
		}
		all := strings.Join(places, "\n")
		for _, place := range []string{"report ", "sortie logs", "GET /v1/plugins/logging/logs"} {
			if !strings.Contains(all, place) {
				t.Errorf("what the plugin logged isn't found in %s, only in\n%s", place, all)
			}
		}
	})
}

// TestPlantedIsFound: the search finds a value in every form, and the half of one.
func TestPlantedIsFound(t *testing.T) {
	t.Parallel()
	const value = `0123456789ab/+"cdef0123456=789=`
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		value, strings.ToUpper(value), value[:16], value[len(value)-16:], url.QueryEscape(value), url.PathEscape(value), string(quoted), hex.EncodeToString([]byte(value)),
		fmt.Sprintf("%X", value), strings.TrimSpace(escapedEach(value, "%d ")), base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte("u:" + value)), base64.URLEncoding.EncodeToString([]byte("me:" + value + "\n")), escapedEach(value, "%%%02x"), escapedEach(value, `\u%04x`),
	} {
		if len(search([]plantedValue{{"it", []byte(value)}}, []exhibit{{"there", []byte("…" + text + "…"), nil}})) == 0 {
			t.Errorf("not found in %s", text)
		}
	}
	if found := search([]plantedValue{{"it", []byte(value)}}, []exhibit{{"there", []byte(value), []string{"it"}}, {"there", []byte(value[:15]), nil}}); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// plantedValue is one that must be found nowhere.
type plantedValue struct {
	name  string
	value []byte
}

// exhibit is a text that is searched. It may show the values named. There are two reasons for that: it's the answer that creates a token, which shows
// that one; or it's a plugin's own answer, which may show what its caller sent and what an upstream sent back. All else is searched for in them too.
type exhibit struct {
	place string
	text  []byte
	shows []string
}

type leak struct{ value, form, place, around string }

func (l leak) String() string {
	return fmt.Sprintf("%s, %s, in %s: %s", l.value, l.form, l.place, l.around)
}

// pieceSize is as much of a value as mustn't be seen.
const pieceSize = 16

// search finds the values' first and last sixteen bytes, in any form and case.
func search(values []plantedValue, exhibits []exhibit) (found []leak) {
	const prefix = 12
	type needle struct{ value, form, text string }
	needles := map[[prefix]byte][]needle{}
	for _, v := range values {
		for _, piece := range [][]byte{v.value[:pieceSize], v.value[len(v.value)-pieceSize:]} {
			for form, text := range forms(piece) {
				text = string(lowered([]byte(text)))
				key := [prefix]byte([]byte(text))
				needles[key] = append(needles[key], needle{v.name, form, text})
			}
		}
	}
	for _, e := range exhibits {
		text := lowered(e.text)
		seen := map[string]bool{}
		for i := 0; i+prefix <= len(text); i++ {
			for _, n := range needles[[prefix]byte(text[i:])] {
				if !bytes.HasPrefix(text[i:], []byte(n.text)) || seen[n.value] || slices.Contains(e.shows, n.value) {
					continue
				}
				seen[n.value] = true
				found = append(found, leak{n.value, n.form, e.place, fmt.Sprintf("%q", e.text[max(i-150, 0):min(i+len(n.text)+80, len(text))])})
			}
		}
	}
	return found
}

// forms are the ways in which a text may be written.
func forms(piece []byte) map[string]string {
	quoted, _ := json.Marshal(string(piece))
	all := map[string]string{
		"as it is": string(piece), "hex": hex.EncodeToString(piece), "for a query": url.QueryEscape(string(piece)), "for a path": url.PathEscape(string(piece)),
		"percent-encoded": escapedEach(string(piece), "%%%02x"), "JSON": string(quoted[1 : len(quoted)-1]), "JSON escapes": escapedEach(string(piece), `\u%04x`),
		"numbers": strings.TrimSpace(escapedEach(string(piece), "%d ")),
	}
	for before := range 3 { // base64 depends on where in three bytes it begins; what its neighbours have a part in is left out
		text := append(make([]byte, before), piece...)
		from, to := (before*8+5)/6, len(text)*8/6
		all[fmt.Sprint("base64 at ", before)] = base64.StdEncoding.EncodeToString(text)[from:to]
		all[fmt.Sprint("base64url at ", before)] = base64.URLEncoding.EncodeToString(text)[from:to]
	}
	return all
}

func escapedEach(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// lowered leaves bytes that aren't ASCII letters as they are.
func lowered(b []byte) []byte {
	l := bytes.Clone(b)
	for i, c := range l {
		if 'A' <= c && c <= 'Z' {
			l[i] = c | 0x20
		}
	}
	return l
}

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

// rawModule is a raw plugin. Its imports are of extism:host, named env/… or user/…, with a type of 0: () i64, 1: (i64) i64, 2: (i64, i64), 3: (i64), 4: (i64, i64) i64.
func rawModule(imports []string, kinds []wasm.Index, body ...byte) []byte {
	i64, i32 := wasm.ValueTypeI64, wasm.ValueTypeI32
	m := &wasm.Module{
		TypeSection: []*wasm.FunctionType{
			{Results: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64}, Results: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64, i64}},
			{Params: []wasm.ValueType{i64}}, {Params: []wasm.ValueType{i64, i64}, Results: []wasm.ValueType{i64}}, {Results: []wasm.ValueType{i32}},
		},
		FunctionSection: []wasm.Index{5},
		MemorySection:   &wasm.Memory{Min: 1},
		ExportSection:   []*wasm.Export{{Type: wasm.ExternTypeFunc, Name: "handle", Index: wasm.Index(len(imports))}},
		CodeSection:     []*wasm.Code{{LocalTypes: []wasm.ValueType{i64}, Body: append(body, wasm.OpcodeEnd)}},
	}
	for i, name := range imports {
		space, function, _ := strings.Cut(name, "/")
		m.ImportSection = append(m.ImportSection, &wasm.Import{Type: wasm.ExternTypeFunc, Module: "extism:host/" + space, Name: function, DescFunc: kinds[i]})
	}
	return wabin.EncodeModule(m)
}

const (
	kindGet  wasm.Index = iota // () i64
	kindMap                    // (i64) i64
	kindPair                   // (i64, i64)
	kindPut                    // (i64)
	kindBoth                   // (i64, i64) i64
)

// The plugins. Each takes what it's to do from its caller.
var (
	// telling fails with what fetch_all says, noting logs it.
	telling = rawModule([]string{"env/input_offset", "user/fetch_all", "env/error_set"}, []wasm.Index{kindGet, kindMap, kindPut},
		wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeCall, 2, wasm.OpcodeI32Const, 1)
	noting = rawModule([]string{"env/input_offset", "user/fetch_all", "env/log_warn"}, []wasm.Index{kindGet, kindMap, kindPut},
		wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeCall, 2, wasm.OpcodeI32Const, 0)
	// asking makes an Extism plugin's own http_request.
	asking = rawModule([]string{"env/input_offset", "env/http_request", "env/length", "env/output_set"}, []wasm.Index{kindGet, kindBoth, kindMap, kindPair},
		wasm.OpcodeCall, 0, wasm.OpcodeI64Const, 0, wasm.OpcodeCall, 1, wasm.OpcodeLocalTee, 0, wasm.OpcodeLocalGet, 0, wasm.OpcodeCall, 2, wasm.OpcodeCall, 3, wasm.OpcodeI32Const, 0)
	// logging logs what it's sent.
	logging  = rawModule([]string{"env/input_offset", "env/log_info"}, []wasm.Index{kindGet, kindPut}, wasm.OpcodeCall, 0, wasm.OpcodeCall, 1, wasm.OpcodeI32Const, 0)
	looping  = rawModule(nil, nil, wasm.OpcodeLoop, 0x40, wasm.OpcodeBr, 0, wasm.OpcodeEnd, wasm.OpcodeI32Const, 0)
	trapping = rawModule(nil, nil, wasm.OpcodeUnreachable)
	flooding = httpModule(httpImports{{"log", 3, 1}}, slices.Concat(number(8), number(0), number(60000), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop},
		number(8), number(0), number(60000), []byte{wasm.OpcodeCall, 0}))
	// seeing answers with the head of its request, as the host encodes it, and some zeros.
	seeing = httpModule(httpImports{{"request", 2, 1}, {"respond", 2, 1}}, slices.Concat(
		number(1024), number(8192), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop}, number(0), number(16), []byte{wasm.OpcodeCall, 1}))
	// flowing streams it, and then fails if there's a body.
	flowing = httpModule(httpImports{{"request", 2, 1}, {"begin", 2, 1}, {"write", 3, 1}, {"read_request", 2, 1}}, slices.Concat(
		number(1024), number(8192), []byte{wasm.OpcodeCall, 0, wasm.OpcodeDrop}, number(0), number(8), []byte{wasm.OpcodeCall, 1},
		number(1024), number(8192), []byte{wasm.OpcodeCall, 2, wasm.OpcodeDrop}, number(16384), number(16), []byte{wasm.OpcodeCall, 3}))
)

type httpImports []struct {
	name            string
	params, results int
}

// httpModule is an HTTP plugin. At 0 it has a response: status 200, no fields, a body of 8192 bytes at 1024.
func httpModule(imports httpImports, body []byte) []byte {
	types := func(n int) []wasm.ValueType { return slices.Repeat([]wasm.ValueType{wasm.ValueTypeI32}, n) }
	m := &wasm.Module{
		TypeSection:     []*wasm.FunctionType{{Results: types(1)}},
		FunctionSection: []wasm.Index{0},
		MemorySection:   &wasm.Memory{Min: 1},
		ExportSection: []*wasm.Export{
			{Type: wasm.ExternTypeFunc, Name: "handle", Index: wasm.Index(len(imports))}, {Type: wasm.ExternTypeMemory, Name: "memory"},
		},
		CodeSection: []*wasm.Code{{Body: append(body, wasm.OpcodeEnd)}},
		DataSection: []*wasm.DataSegment{{
			OffsetExpression: &wasm.ConstantExpression{Opcode: wasm.OpcodeI32Const, Data: leb128.EncodeInt32(0)},
			Init:             []byte{0x80, 0, 0, 200, 0x80, 0, 0, 0, 0x80, 0, 4, 0, 0x80, 0, 32, 0}, // varints of four bytes
		}},
	}
	for i, f := range imports {
		m.TypeSection = append(m.TypeSection, &wasm.FunctionType{Params: types(f.params), Results: types(f.results)})
		m.ImportSection = append(m.ImportSection, &wasm.Import{Type: wasm.ExternTypeFunc, Module: "sortie:host/v1", Name: f.name, DescFunc: wasm.Index(i + 1)})
	}
	return wabin.EncodeModule(m)
}

func number(n int32) []byte { return append([]byte{wasm.OpcodeI32Const}, leb128.EncodeInt32(n)...) }

// fetches is the input of a plugin that gives it to fetch_all.
func (p *planting) fetches(urls []string, header ...string) []byte {
	fields := [][2]string{}
	for i := 0; i+1 < len(header); i += 2 {
		fields = append(fields, [2]string{header[i], header[i+1]})
	}
	var all []map[string]any
	for _, u := range urls {
		all = append(all, map[string]any{"url": u, "headers": fields})
	}
	text, err := json.Marshal(map[string]any{"mode": "all_settled", "requests": all})
	p.must(err)
	return text
}

// manifest is that of a plugin which may fetch, with all secrets.
func (p *planting) manifest(name string) string {
	return fmt.Sprintf(`name: %s
fetch:
  allow: [{url: %q, private: true}, {url: %q, private: true}]
  limits: {requests: 200, timeout: 5s}
limits: {wall: 10s}
secrets:
  - {name: BY_ENV, header: X-Env, allow: [%[2]q]}
  - {name: BY_FILE, header: X-File, format: "Bearer {secret}", allow: [%[2]q]}
  - {name: STORED, header: X-Stored, allow: [%[2]q]}
  - {name: SIGNS, header: X-Signs, allow: [%[2]q]}
`, name, p.upstream.URL, p.proxied)
}

// firstRun is most of it.
func (p *planting) firstRun() {
	s := p.serve("data", "SORTIE_SECRETS_KEY="+p.key)
	p.credentials()
	p.secrets(s)
	p.deploys()
	followed := p.follow()
	p.invocations()
	p.wrongPlaces()
	p.reloads(s)
	p.observe()
	followed()
	s.stop()
}

// credentials creates tokens, and calls with good and bad ones.
func (p *planting) credentials() {
	p.create("token of an admin", `{"role":"admin","expires":"never"}`)
	deploy := p.create("token to deploy", `{"role":"deploy","plugins":["telling"],"expires":"2d"}`)
	read := p.create("token to read", `{"role":"read"}`)
	invoke := p.create("token to invoke", `{"role":"invoke"}`)
	revoked := p.create("revoked token", `{"role":"read"}`)
	expired := p.create("expired token", `{"role":"read","expires":"1s"}`)
	const made = "token made by the command"
	out, _ := p.sortie([]string{made}, "", "token", "create", "--role", "read", "--json")
	var answer struct{ Token string }
	p.must(json.Unmarshal([]byte(out), &answer))
	p.tokenOf(made, answer.Token)
	id := func(token string) string { return strings.Split(token, "_")[1] }
	p.done("token", "revoke", id(revoked))
	p.failing("token", "revoke", read)
	p.wants(http.StatusNotFound, http.MethodDelete, "/v1/tokens/"+read, nil)
	time.Sleep(time.Second) // for the one that expires
	wrong, malformed := p.plant("wrong token"), p.plant("malformed token")
	for _, path := range []string{"/v1/plugins", "/p/none", "/metrics", "/v1/tokens"} {
		for _, value := range []string{
			"Bearer " + revoked, "Bearer " + expired, "Bearer " + wrong, "Bearer sortie_abcdefgh_" + strings.ToUpper(wrong), "Bearer " + read + wrong, "Bearer  ," + malformed, malformed,
			"Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+malformed)), "Bearer " + strings.Repeat(malformed, 100), "Bearer sortie_" + id(read) + "_" + strings.ToUpper(malformed), "Bearer eyJhbGciOiJub25lIn0." + malformed + ".",
		} {
			p.wants(http.StatusUnauthorized, http.MethodGet, path, nil, "Authorization", value)
			p.wants(http.StatusUnauthorized, http.MethodGet, path, nil, "Sortie-Authorization", value, "Authorization", "Bearer "+p.admin)
		}
		p.wants(http.StatusUnauthorized, http.MethodGet, path, nil, "Authorization", "Bearer "+p.admin, "Authorization", "Bearer "+wrong)
	}
	for _, token := range []string{deploy, read, invoke} {
		p.wants(http.StatusForbidden, http.MethodGet, "/v1/tokens", nil, "Authorization", "Bearer "+token)
		p.wants(http.StatusForbidden, http.MethodPost, "/v1/tokens", []byte(`{"role":"admin"}`), "Authorization", "Bearer "+token)
		p.wants(http.StatusForbidden, http.MethodPut, "/v1/secrets/A", []byte(`{}`), "Authorization", "Bearer "+token)
		p.wants(http.StatusForbidden, http.MethodPut, "/v1/plugins/other", []byte("x"), "Authorization", "Bearer "+token)
		p.wants(http.StatusForbidden, http.MethodGet, "/v1/backup", nil, "Authorization", "Bearer "+token)
		p.token = token
		p.sortie(nil, "", "list")
		p.failing("token", "list")
		p.token = p.admin
	}
	p.token = wrong
	p.failing("list")
	p.failing("list", "--json")
	p.token = revoked
	p.failing("list")
	p.token = p.admin
}

// secrets sets, changes and removes some.
func (p *planting) secrets(s *serving) {
	set := func(value string) []byte {
		return fmt.Appendf(nil, `{"value":%q,"allow":[%q],"plugins":["*"]}`, value, p.upstream.URL)
	}
	stored, rotated := p.plant("stored secret"), p.plant("rotated secret")
	p.wants(http.StatusCreated, http.MethodPut, "/v1/secrets/STORED", set(stored), "Content-Type", "application/json")
	half := p.plant("secret with signs")
	signs := half[:16] + "/+=&" + half[16:] + "=="
	p.values = slices.DeleteFunc(p.values, func(v plantedValue) bool { return v.name == "secret with signs" })
	p.planted("secret with signs", signs)
	p.doneWith(signs, "secret", "set", "SIGNS", "--allow", p.upstream.URL, "--plugins", "*")
	p.doneWith(rotated, "secret", "set", "STORED")
	p.wants(http.StatusCreated, http.MethodPut, "/v1/secrets/GONE", set(p.plant("removed secret")), "Content-Type", "application/json")
	p.done("secret", "remove", "GONE")
	// What is refused.
	refused := p.plant("refused secret")
	for name, body := range map[string]string{
		"STORED": `{"value":"` + refused + `\n","allow":["https://a.example"],"plugins":["*"]}`, "BY_ENV": string(set(refused)), "TYPE": `{"value":["` + refused + `"]}`,
		"BROKEN": `{"value":"` + refused, "WHERE": `{"value":"` + refused + `","allow":["ftp://x"],"plugins":["*"]}`, "MORE": `{"value":"` + refused + `","valu":"` + refused + `"}`,
		"OBJECT": `{"value":{"` + refused + `":1}}`, "NUMBER": `"` + refused + `"`, "WHO": `{"value":"` + refused + `","allow":["https://a.example"],"plugins":["A B"]}`,
	} {
		if a := p.ask(nil, http.MethodPut, "/v1/secrets/"+name, []byte(body), "Content-Type", "application/json"); a.status < 400 {
			p.t.Errorf("%s: %d", name, a.status)
		}
	}
	p.failing("secret", "set", "ARGUMENT", refused)
	p.failing("secret", "set", "ARGUMENT="+refused)
	p.failing("secret", "remove", "0"+refused) // what could be a secret's name is taken for one, and shown
	p.write("file.txt", p.plant("secret by file, changed"))
	p.says(s, "secret changed")
	p.write("file.txt", p.plant("secret by file, malformed")+"\x00\nmore")
	p.says(s, "secret's file can't be used")
	p.write("file.txt", p.plant("secret by file, once more"))
}

// deploys puts the plugins there, and others that can't be.
func (p *planting) deploys() {
	p.write("plugin/plugin.yaml", p.manifest(p.control))
	p.write("plugin/plugin.wasm", string(fetching()))
	p.done("deploy", "plugin")
	p.write("plugin/plugin.yaml", p.manifest(p.control)+"config: {second: 1}\n")
	p.done("deploy", "plugin", "--no-traffic", "--note", "again", "--json")
	for name, module := range map[string][]byte{"telling": telling, "noting": noting, "asking": asking} {
		p.deployed(http.StatusCreated, name, p.manifest(name), module)
	}
	const short = "limits: {cpu: 50ms, input: 64KiB, log: 1KiB}\n"
	for name, module := range map[string][]byte{"logging": logging, "looping": looping, "trapping": trapping, "flooding": flooding, "flowing": flowing, "quota": fetching(), "rate": returning(1)} {
		p.deployed(http.StatusCreated, name, "name: "+name+"\n"+short, module)
	}
	p.deployed(http.StatusCreated, "seeing", "name: seeing\naccess: public\ncors: {origins: [\"https://app.example\"]}\n", seeing)
	p.deployed(http.StatusCreated, "walled", p.manifest("walled"), fetching())
	p.deployed(http.StatusCreated, "clamped", "name: clamped\nlimits: {wall: 1000h, memory: 100GiB}\n", returning(2))
	p.deployed(http.StatusCreated, "slow", strings.Replace(p.manifest("slow"), "wall: 10s", "wall: 100ms", 1), fetching())

	wrong := p.plant("value in a manifest")
	for _, manifest := range []string{
		"name: bad\nsecrets: [{name: BY_ENV, header: X-Env, value: " + wrong + "}]\n",
		"name: bad\nfetch: {allow: [\"https://user:" + wrong + "@a.example\"]}\n",
		"name: bad\nfetch: {allow: [{url: \"https://user:" + wrong + "@a.example\", methods: [GET]}]}\n",
		"name: bad\nsecrets: [{name: BY_ENV, header: X-Env, format: \"Bearer " + wrong + "\"}]\n",
		"name: bad\nsecrets: {BY_ENV: " + wrong + "}\n",
		"name: bad\nsecrets: [" + wrong + "]\n",
		"name: bad\nconfig: {token: \"" + wrong + "\n",
	} {
		p.deployed(http.StatusUnprocessableEntity, "bad", manifest, returning(3))
	}
	p.deployed(http.StatusUnprocessableEntity, "bad", "name: bad\n", []byte(wrong+" is no module"))
	p.deployed(http.StatusUnprocessableEntity, "bad", "name: bad\n", returning(3), "signature", "untrusted comment: x\n"+wrong+"\n")
	p.wants(http.StatusUnsupportedMediaType, http.MethodPut, "/v1/plugins/bad", []byte(wrong), "Content-Type", "text/plain")
	p.write("bad/plugin.yaml", "name: bad\nsecrets: [{name: BY_ENV, value: "+wrong+"}]\n")
	p.write("bad/plugin.wasm", string(returning(3)))
	p.failing("deploy", "bad")
	p.failing("deploy", "bad", "--json")

	p.done("traffic", p.control, "1=50", "2=50")
	p.done("traffic", p.control)
	p.done("rollback", p.control)
	p.wants(http.StatusOK, http.MethodPut, "/v1/plugins/"+p.control+"/traffic", []byte(`[{"version":2,"weight":100}]`), "Content-Type", "application/json")
	p.wants(http.StatusOK, http.MethodPost, "/v1/plugins/"+p.control+"/rollback", nil)
	p.done("remove", "clamped")
}

// follow reads the plugins' logs as they're written, until the function is called that it returns.
func (p *planting) follow() (end func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var readers sync.WaitGroup
	for _, name := range []string{p.control, "telling", "noting", "asking", "logging"} {
		readers.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/v1/plugins/"+name+"/logs?follow=true", nil)
			if err != nil {
				return
			}
			r.Header.Set("Authorization", "Bearer "+p.admin)
			resp, err := p.client.Do(r)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			all, _ := io.ReadAll(resp.Body) // until it's cancelled
			p.show("GET follow=true "+name, append([]byte(name+"\n"), all...))
		})
	}
	cmd := exec.Command(p.binary, "logs", "noting", "-f")
	cmd.Env = append(slices.Clone(p.env), "SORTIE_SERVER="+p.url, "SORTIE_TOKEN="+p.admin)
	out, err := os.Create(filepath.Join(p.dir, "followed"))
	p.must(err)
	cmd.Stdout, cmd.Stderr = out, out
	p.must(cmd.Start())
	return func() {
		cancel()
		readers.Wait()
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = out.Close()
		text, err := os.ReadFile(out.Name())
		p.must(err)
		p.show("sortie logs -f", text)
	}
}

// invocations calls the plugins with credentials for them, and has them send others.
func (p *planting) invocations() {
	to := func(path string) string { return p.upstream.URL + path }
	// What the plugin sends, and the upstream sends back. Its answer is the plugin's own and shows that; nothing else does.
	authorization, cookie, body := p.plant("plugin's Authorization"), p.plant("plugin's Cookie"), p.plant("plugin's password")
	given := append([]string{"plugin's Authorization", "plugin's Cookie", "upstream's Set-Cookie", "plugin's password"}, operators...)
	header := []string{"authorization", "Bearer " + authorization, "cookie", "session=" + cookie}
	var urls []string
	for _, path := range append([]string{"/" + p.control}, upstreamPaths...) {
		urls = append(urls, to(path), to(path+"?of=secrets"))
	}
	invoke := "/p/" + p.control
	p.check(p.ask(given, http.MethodPost, invoke, p.fetches(urls, header...)), http.StatusOK)
	p.check(p.ask(given, http.MethodPost, invoke, p.fetches(urls[:2], "authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+body)))), http.StatusOK)
	p.check(p.ask(given, http.MethodPost, invoke, p.fetches([]string{p.proxied + "/", strings.Replace(to("/"), "//", "//user:"+body+"@", 1), "http://user:" + body + "@denied.example/", "//user:" + body + "@denied.example"})), http.StatusOK)
	// The upstream sends secrets back, and the plugin logs that and fails with it.
	for i := 1; i < len(urls); i += 2 {
		p.wants(http.StatusInternalServerError, http.MethodPost, "/p/telling", p.fetches(urls[i:i+1]))
		p.wants(http.StatusOK, http.MethodPost, "/p/noting", p.fetches(urls[i:i+1]))
	}
	p.wants(http.StatusInternalServerError, http.MethodPost, "/p/telling", p.fetches([]string{p.proxied + "/", "http://user:" + body + "@denied.example/"}))
	for _, u := range append([]string{p.proxied, "http://user:" + body + "@denied.example/", strings.Replace(to("/"), "//", "//user:"+body+"@", 1)}, urls...) {
		text, err := json.Marshal(map[string]any{"url": u, "method": "GET", "headers": map[string]string{"Authorization": "Bearer " + authorization, "Cookie": "session=" + cookie}})
		p.must(err)
		p.ask(given, http.MethodPost, "/p/asking", text)
	}
	p.ask(nil, http.MethodPost, "/p/asking", []byte(`{"url":"http://user:`+body+`@x/","method":7}`))

	// What callers send. The plugin sees that and not the token.
	callers := []string{"caller's Authorization", "caller's Cookie", "caller's X-Api-Key", "caller's query", "caller's Proxy-Authorization", "caller's body"}
	values := map[string]string{}
	for _, name := range callers {
		values[name] = p.plant(name)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+values[callers[0]]))
	for _, own := range []string{"Bearer " + values[callers[0]], basic} {
		head := []string{
			"Sortie-Authorization", "Bearer " + p.tokens["token to invoke"], "Authorization", own, "Cookie", "session=" + values[callers[1]], "X-Api-Key", values[callers[2]],
			"Proxy-Authorization", "Basic " + values[callers[4]],
		}
		query := "?password=" + values[callers[3]]
		for _, name := range []string{"seeing", "flowing"} {
			seen := p.ask(callers[:4], http.MethodGet, "/p/"+name+"/here"+query, nil, head...) // what it answers is its own
			p.check(seen, http.StatusOK)
			if !bytes.Contains(seen.body, []byte(values[callers[2]])) {
				p.t.Errorf("%s didn't get what the caller sent: %q", name, seen.body)
			}
		}
		text := []byte(values[callers[5]])
		for _, name := range []string{"looping", "trapping", "flooding", "rate", "rate", "quota", "quota", "none"} {
			if a := p.ask(nil, http.MethodPost, "/p/"+name+"/here"+query, text, head...); a.status < 400 && name != "quota" && name != "flooding" {
				p.t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		if _, err := p.try(p.t.Context(), callers, http.MethodPost, "/p/flowing"+query, text, head...); err == nil {
			p.t.Error("flowing: a whole answer")
		}
		p.wants(http.StatusRequestEntityTooLarge, http.MethodPost, "/p/looping"+query, bytes.Repeat(text, 4<<10), head...)
		pinned := append([]string{"Sortie-Version", "1"}, head...)
		p.wants(http.StatusForbidden, http.MethodGet, "/p/seeing"+query, nil, pinned...)
		pinned[3] = "Bearer " + p.tokens["token to read"]
		p.check(p.ask(callers[:4], http.MethodGet, "/p/seeing"+query, nil, pinned...), http.StatusOK)
		p.wants(http.StatusNoContent, http.MethodOptions, "/p/seeing"+query, nil, append([]string{"Origin", "https://app.example", "Access-Control-Request-Method", "GET"}, head...)...)
		p.ask(callers[:4], http.MethodGet, "/p/seeing"+query, nil, append([]string{"Origin", "https://app.example"}, head...)...)
		p.ask(callers[:4], "BREW", "/p/seeing"+query, nil, head...)
	}
	p.wants(http.StatusOK, http.MethodPost, "/p/logging", []byte(p.logged))

	p.wants(http.StatusGatewayTimeout, http.MethodPost, "/p/slow", p.fetches([]string{to("/slow?of=secrets")}))
	// A caller that goes away, and more of them than there is room for.
	ctx, cancel := context.WithTimeout(p.t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.try(ctx, given, http.MethodPost, "/p/walled", p.fetches([]string{to("/slow")})); err == nil {
		p.t.Error("the upstream isn't slow")
	}
	var callersGo sync.WaitGroup
	var refused sync.Map
	for range 16 {
		callersGo.Go(func() {
			a, err := p.try(p.t.Context(), given, http.MethodPost, "/p/walled?password="+values[callers[3]], p.fetches([]string{to("/slow?of=secrets")}, header...))
			if err == nil && a.status == http.StatusServiceUnavailable {
				refused.Store("overloaded", true)
			}
		})
	}
	callersGo.Wait()
	if _, ok := refused.Load("overloaded"); !ok {
		p.t.Error("nobody was refused")
	}
}

// wrongPlaces has values where none belongs: in paths, queries and fields of the API.
func (p *planting) wrongPlaces() {
	v := p.plant("value in a wrong place")
	for _, path := range []string{
		"/" + v, "/v1/" + v, "/v1/plugins?token=" + v, "/v1/plugins/none?token=" + v, "/metrics?token=" + v, "/readyz?token=" + v, "/v1/invocations/" + v, "/v1/audit?token=" + v, "/openapi.yaml?token=" + v,
		"/v1/secrets?token=" + v, "/v1/tokens?token=" + v, "/v1/backup?token=" + v, "/?token=" + v, "/livez?token=" + v, "/healthz?token=" + v, "/p/?token=" + v,
		"/v1/plugins/telling/logs?token=" + v,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodOptions, http.MethodHead} {
			p.ask(nil, method, path, nil)
		}
	}
	p.ask(nil, http.MethodDelete, "/v1/secrets/-"+v, nil)
	p.ask(nil, http.MethodPut, "/v1/secrets/-"+v, []byte(`{"value":"x","allow":["https://a.example"],"plugins":["*"]}`), "Content-Type", "application/json")
	// What isn't HTTP.
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	p.must(err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer "+v+"\r\n\r\n")
	p.must(err)
	all, _ := io.ReadAll(conn)
	p.show("not HTTP", all)
}

// reloads has the configuration read again, with mistakes too.
func (p *planting) reloads(s *serving) {
	before, err := os.ReadFile(p.config)
	p.must(err)
	password, direct := p.plant("changed proxy password"), p.plant("secret in a reloaded sortie.yaml")
	from, rest, _ := strings.Cut(string(before), "//operator:")
	_, rest, _ = strings.Cut(rest, "@")
	p.write("sortie.yaml", string(before)+"secrets2: {A: {value: "+direct+"}}\n")
	p.says(s, "configuration not reloaded")
	p.write("sortie.yaml", from+"//operator:"+password+"@"+rest)
	p.must(s.cmd.Process.Signal(syscall.SIGHUP))
	p.says(s, `"after_restart":"upstreams"`)
	p.done("config", "check", p.config)
}

// observe looks at everything there is to be seen.
func (p *planting) observe() {
	for _, path := range []string{"/metrics", "/openapi.yaml", "/readyz", "/livez", "/", "/v1/plugins", "/v1/audit?limit=1000", "/v1/tokens", "/v1/secrets"} {
		p.wants(http.StatusOK, http.MethodGet, path, nil)
	}
	for _, name := range []string{p.control, "telling", "noting", "asking", "logging", "seeing", "flowing", "looping", "trapping", "flooding", "quota", "walled"} {
		for _, below := range []string{"", "/versions", "/logs?limit=1000"} {
			p.wants(http.StatusOK, http.MethodGet, "/v1/plugins/"+name+below, nil)
		}
	}
	var reported []string
	for _, id := range p.ids {
		a := p.ask(nil, http.MethodGet, "/v1/invocations/"+id, nil)
		if a.status == http.StatusNotFound { // it was refused before it began
			continue
		}
		reported = append(reported, id)
		p.show("report "+id, a.body)
		p.show("HAR "+id, p.wants(http.StatusOK, http.MethodGet, "/v1/invocations/"+id+"?format=har", nil).body)
	}
	if len(reported) < 40 {
		p.t.Fatalf("%d reports of %d invocations", len(reported), len(p.ids))
	}
	for _, args := range [][]string{
		{"list"}, {"versions", p.control}, {"audit"}, {"audit", p.control}, {"token", "list"}, {"secret", "list"}, {"logs", "noting"}, {"logs", "asking"}, {"logs", "logging"}, {"trace", reported[0]}, {"trace", reported[2]}, {"trace", reported[4]},
		{"doctor", "--data", "data", "--config", p.config}, {"traffic", p.control},
	} {
		p.sortie(nil, "", args...)
		p.sortie(nil, "", append(args, "--json")...)
	}
	p.done("trace", reported[0], "--har", "first.har")
	archive, err := os.ReadFile(filepath.Join(p.dir, "first.har"))
	p.must(err)
	p.show("HAR of sortie trace", archive)
	p.done("explain", "plugin", p.upstream.URL+"/a", "--allow-private")
}

// secondRun restarts the server on the same data, with TLS and another key than secrets were sealed with.
func (p *planting) secondRun() {
	cert, key := filepath.Join(p.dir, "cert.pem"), filepath.Join(p.dir, "key.pem")
	public, err := certify(cert, key, "sortie.test", time.Hour)
	p.must(err)
	p.privateKey("TLS key", key)
	p.env = append(p.env, "SORTIE_TLS__CERT="+cert, "SORTIE_TLS__KEY="+key, "SSL_CERT_FILE="+cert)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	p.write("file.txt", p.plant("secret by file, of the second run"))
	s := p.serve("data", "SORTIE_SECRETS_KEY="+p.ageKey("other SORTIE_SECRETS_KEY"))
	p.says(s, "a stored secret can't be used")
	given := append([]string{"plugin's second Authorization", "secret by file, of the second run"}, operators...)
	authorization := p.plant("plugin's second Authorization")
	urls := []string{p.upstream.URL + "/" + p.control, p.proxied + "/"}
	p.check(p.ask(given, http.MethodPost, "/p/"+p.control, p.fetches(urls, "authorization", "Bearer "+authorization)), http.StatusOK)
	p.wants(http.StatusInternalServerError, http.MethodPost, "/p/telling", p.fetches(urls))
	p.wants(http.StatusOK, http.MethodPost, "/p/noting", p.fetches(urls))
	id := p.ids[len(p.ids)-2]
	p.show("report "+id, p.wants(http.StatusOK, http.MethodGet, "/v1/invocations/"+id, nil).body)
	for _, path := range []string{"/v1/secrets", "/v1/tokens", "/v1/audit?limit=1000", "/metrics"} {
		p.wants(http.StatusOK, http.MethodGet, path, nil)
	}
	p.sortie(nil, "", "secret", "list")
	p.sortie(nil, "", "secret", "list", "--json")
	p.sortie(nil, "", "doctor", "--json", "--data", "data", "--config", p.config)
	p.done("backup", "backup.tar")
	// The key where the certificate belongs, and a client that speaks plain HTTP.
	text, err := os.ReadFile(key)
	p.must(err)
	p.write("cert.pem", string(text))
	if resp, err := http.Get("http://" + strings.TrimPrefix(p.url, "https://") + "/?token=" + p.admin); err == nil {
		all, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		p.show("plain HTTP", all)
	}
	p.sortie(nil, "", "doctor", "--json", "--data", "data", "--config", p.config)
	p.failing("config", "check", p.config)
	p.failing("list")
	s.stop()
	p.env = slices.DeleteFunc(p.env, func(e string) bool { return strings.HasPrefix(e, "SORTIE_TLS") })
	p.client.Transport = &http.Transport{DisableKeepAlives: true}
}

// privateKey plants the number that is the key in a file.
func (p *planting) privateKey(name, file string) {
	text, err := os.ReadFile(file)
	p.must(err)
	block, _ := pem.Decode(text)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	p.must(err)
	private, err := parsed.(*ecdsa.PrivateKey).Bytes()
	p.must(err)
	p.planted(name, string(private))
}

// restored makes another server of the backup, with a key of its own.
func (p *planting) restored() {
	backup, err := os.ReadFile(filepath.Join(p.dir, "backup.tar"))
	p.must(err)
	p.show("backup", backup)
	p.done("restore", "backup.tar", "--data", "restored")
	s := p.serve("restored")
	p.done("list")
	p.sortie(nil, "", "audit", "--json")
	s.stop()
	p.stored("restored", filepath.Join(p.dir, "restored"))
}

// stored shows all of a data folder. Its secrets.key, which the server makes where it's given none, isn't planted: it's the one file that is a secret.
func (p *planting) stored(place, dir string) {
	p.must(filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		p.show(place+strings.TrimPrefix(file, dir), text)
		return err
	}))
}
