package fetch_test

import (
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

// TestConfigOf: what sortie.yaml says of origins is what the engine does.
func TestConfigOf(t *testing.T) {
	t.Parallel()
	up, _ := serveTLS(t, http.NotFound)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw})
	if err := os.WriteFile(roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(yaml string) (fetch.Config, error) {
		op, err := manifest.ParseOperator([]byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		return fetch.ConfigOf(op)
	}
	cfg, err := config("upstreams: [{match: ['" + up.URL + "'], tls: {roots: '" + roots + "'}, breaker: {}, rate: 1/h, adaptive: {}, retry_budget: {percent: 0, minimum: 0}}]")
	if err != nil {
		t.Fatal(err)
	}
	u := cfg.Upstreams[0]
	if u.Rate == nil || u.Settings.Breaker.Failures != 0.5 || u.Settings.Adaptive.Max != 200 || !u.Settings.Retries.None || cfg.Fetches != 1024 {
		t.Errorf("%+v", cfg)
	}
	b := open(t, cfg, loopback())
	if r := b.do(&fetch.Request{URL: up.URL + "/x"}); r.State != fetch.Fulfilled || r.Response.Status != 404 {
		t.Errorf("got %+v", r.Err)
	}
	for _, bad := range []string{"tls: {roots: /nowhere}", "tls: {roots: '" + os.DevNull + "'}", "tls: {certificate: a, key: b}"} {
		if _, err := config("upstreams: [{match: ['https://a.example'], " + bad + "}]"); err == nil || !strings.Contains(err.Error(), "upstreams[0]: tls.") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
