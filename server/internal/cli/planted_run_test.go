package cli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

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
	for _, path := range []string{"/metrics", "/openapi.yaml", "/readyz", "/livez", "/", "/v1/plugins", "/v1/audit?limit=1000", "/v1/tokens", "/v1/secrets", "/v1/whoami"} {
		p.wants(http.StatusOK, http.MethodGet, path, nil)
	}
	for _, name := range []string{p.control, "telling", "noting", "asking", "logging", "seeing", "flowing", "looping", "trapping", "flooding", "quota", "walled"} {
		for _, below := range []string{"", "/versions", "/logs?limit=1000", "/invocations?limit=500", "/versions/1/manifest", "/explain?url=http://169.254.169.254/"} {
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
