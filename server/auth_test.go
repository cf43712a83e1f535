package server

import (
	"net/http"
	"strings"
	"testing"
)

func TestCheckBind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		addr, token string
		ok          bool
	}{
		{"127.0.0.1:8080", "", true}, {"127.9.9.9:0", "", true}, {"[::1]:8080", "", true}, {"localhost:8080", "", true},
		{"[::ffff:127.0.0.1]:80", "", true}, {"LocalHost:80", "", true},
		{":8080", "", false}, {"0.0.0.0:8080", "", false}, {"[::]:8080", "", false}, {"192.168.1.2:80", "", false},
		{"example.com:80", "", false}, {"localhost.example.com:80", "", false}, {"127.0.0.1.example.com:80", "", false},
		{":8080", "geheim", true}, {"0.0.0.0:8080", "geheim", true},
		{"8080", "geheim", false}, {"", "", false}, {"127.0.0.1", "", false},
	}
	for _, test := range tests {
		err := CheckBind(test.addr, test.token == "")
		if (err == nil) != test.ok {
			t.Errorf("CheckBind(%q, %q) = %v", test.addr, test.token, err)
		}
	}
	if err := CheckBind(":8080", true); err == nil || !strings.Contains(err.Error(), "SORTIE_ADMIN_TOKEN") {
		t.Errorf("the message doesn't say what to do: %v", err)
	}
}

// TestWhoMayDoWhat is a matrix of addresses and credentials on a server with a token.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{token: "geheim", operator: "plugins: {\"open-*\": {access: public}}"})
	s.deployed("closed", "", "one", "")
	s.deployed("wants", "access: public", "one", "")    // without the operator's consent
	s.deployed("open-one", "access: public", "one", "") // with it
	s.deployed("open-two", "access: token", "one", "")  // consent to what isn't asked for
	s.deployed("open-off", "access: public", "one", "?traffic=none")
	s.token = ""
	credentials := []struct {
		name   string
		header []string
		good   bool
	}{
		{"none", nil, false},
		{"Authorization", []string{"Authorization", "Bearer geheim"}, true},
		{"Sortie-Authorization", []string{"Sortie-Authorization", "Bearer geheim"}, true},
		{"wrong", []string{"Authorization", "Bearer geheim2"}, false},
		{"a prefix", []string{"Authorization", "Bearer gehei"}, false},
		{"another scheme", []string{"Authorization", "Basic geheim"}, false},
		{"no scheme", []string{"Authorization", "geheim"}, false},
		{"no token", []string{"Authorization", "Bearer "}, false},
		{"wrong one of ours", []string{"Sortie-Authorization", "Bearer no", "Authorization", "Bearer geheim"}, false},
		{"twice", []string{"Authorization", "Bearer geheim", "Authorization", "Bearer geheim"}, false},
		{"in a cookie", []string{"Cookie", "token=geheim"}, false},
	}
	addresses := []struct {
		method, path  string
		good, without int // status with a good credential, and without
		header        []string
	}{
		{"GET", "/v1/plugins", 200, 401, nil}, {"GET", "/v1/plugins/closed", 200, 401, nil}, {"GET", "/v1/plugins/nobody", 404, 401, nil},
		{"GET", "/v1/plugins/closed/versions", 200, 401, nil}, {"HEAD", "/v1/plugins", 200, 401, nil},
		{"DELETE", "/v1/plugins/nobody", 404, 401, nil}, {"PUT", "/v1/plugins/new", 415, 401, nil},
		{"GET", "/p/closed", 200, 401, nil}, {"POST", "/p/closed/x", 200, 401, nil}, {"GET", "/p/nobody", 404, 401, nil},
		{"GET", "/p/wants", 200, 401, nil}, {"GET", "/p/open-one", 200, 200, nil}, {"POST", "/p/open-one/x", 200, 200, nil},
		{"GET", "/p/open-two", 200, 401, nil}, {"GET", "/p/open-off", 404, 401, nil},
		{"GET", "/p/open-one", 200, 401, []string{"Sortie-Version", "1"}},
		{"GET", "/livez", 200, 200, nil}, {"GET", "/healthz", 200, 200, nil}, {"GET", "/readyz", 200, 200, nil},
		{"GET", "/openapi.yaml", 200, 200, nil}, {"GET", "/", 200, 200, nil}, {"GET", "/v1/nothing", 404, 404, nil},
	}
	for _, address := range addresses {
		for _, c := range credentials {
			a := s.send(address.method, address.path, nil, append(address.header, c.header...)...)
			want := address.without
			if c.good {
				want = address.good
			}
			if a.StatusCode != want {
				t.Errorf("%s %s with %s: %d %s, want %d", address.method, address.path, c.name, a.StatusCode, a.body, want)
			}
			if challenge := a.Header.Get("WWW-Authenticate"); (challenge != "") != (want == 401) {
				t.Errorf("%s %s with %s: WWW-Authenticate = %q", address.method, address.path, c.name, challenge)
			}
			if strings.Contains(a.body, "geheim") {
				t.Errorf("%s %s with %s: the answer holds the token", address.method, address.path, c.name)
			}
		}
	}
	if strings.Contains(s.log.String(), "geheim") {
		t.Error("the log holds the token")
	}
}

// TestOpenServer is about what a browser can be made to send to a server without a token.
func TestOpenServer(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{operator: "plugins: {\"open-*\": {access: public}}"})
	s.deployed("a", "", "one", "")
	s.deployed("open-one", "access: public", "one", "")
	tests := []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"curl", "POST", "/p/a", nil, 200},
		{"localhost", "GET", "/v1/plugins", []string{"Host", "localhost:8080"}, 200},
		{"below localhost", "GET", "/p/a", []string{"Host", "sortie.localhost"}, 200},
		{"another loopback address", "GET", "/p/a", []string{"Host", "127.1.2.3"}, 200},
		{"IPv6", "GET", "/p/a", []string{"Host", "[::1]:80"}, 200},
		{"rebound name", "GET", "/v1/plugins", []string{"Host", "evil.example"}, 403},
		{"rebound name, plugin", "GET", "/p/a", []string{"Host", "evil.example:8080"}, 403},
		{"rebound name, nothing", "GET", "/nothing", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"other address", "GET", "/p/a", []string{"Host", "192.168.1.1"}, 403},
		{"cross-site deploy", "PUT", "/v1/plugins/a", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same-site deploy", "PUT", "/v1/plugins/a", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"old browser's deploy", "DELETE", "/v1/plugins/a", []string{"Origin", "http://evil.example"}, 403},
		{"sandboxed page's deploy", "DELETE", "/v1/plugins/a", []string{"Origin", "null"}, 403},
		{"cross-site form", "POST", "/p/a", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"cross-site form to a public plugin", "POST", "/p/open-one", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		{"link", "GET", "/p/a", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		{"same origin", "POST", "/p/a", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed", "POST", "/p/a", []string{"Sec-Fetch-Site", "none"}, 200},
		{"own origin", "POST", "/p/a", []string{"Origin", s.url}, 200},
	}
	for _, test := range tests {
		a := s.send(test.method, test.path, nil, test.header...)
		if a.StatusCode != test.status {
			t.Errorf("%s: %d %s, want %d", test.name, a.StatusCode, a.body, test.status)
		}
		if test.status == 403 {
			wantProblem(t, a, 403, "forbidden")
		}
	}
	withToken := start(t, says("hello"), options{token: "geheim"})
	withToken.deployed("a", "", "one", "")
	if a := withToken.send("POST", "/p/a", nil, "Host", "prices.example.com", "Sec-Fetch-Site", "cross-site"); a.StatusCode != 200 {
		t.Errorf("with a token, under its own name: %d %s", a.StatusCode, a.body)
	}
}

func TestUnknownAddressesAndMethods(t *testing.T) {
	t.Parallel()
	s := start(t, says(""), options{})
	for _, path := range []string{
		"/nothing", "/v1", "/v1/", "/v1/plugins/", "/v1/plugins/a/b", "/v1/plugins/a/versions/1", "/v1/invocations/x", "/livez/", "/openapi.yml",
		"/v2/plugins", "//", "/%2e%2e/etc/passwd",
	} {
		a := s.get(path)
		wantProblem(t, a, 404, "not_found")
		if a.Header.Get("Content-Security-Policy") != "" {
			t.Errorf("%s has a plugin's Content-Security-Policy", path)
		}
	}
	for path, allowed := range map[string]string{
		"/v1/plugins": "GET", "/v1/plugins/a": "PUT", "/v1/plugins/a/versions": "GET", "/livez": "GET", "/": "HEAD",
	} {
		a := s.send(http.MethodPatch, path, nil)
		wantProblem(t, a, 405, "method_not_allowed")
		if !strings.Contains(a.Header.Get("Allow"), allowed) {
			t.Errorf("%s: Allow = %q", path, a.Header.Get("Allow"))
		}
	}
	a := s.send(http.MethodHead, "/nothing", nil)
	if a.StatusCode != 404 || a.Header.Get("Sortie-Error") != "not_found" {
		t.Errorf("HEAD: %d %v", a.StatusCode, a.Header)
	}
}
