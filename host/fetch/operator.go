package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/sortie-run/sortie/host/fetch/dial"
	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/fetch/upstream"
	"github.com/sortie-run/sortie/host/manifest"
)

// ConfigOf is what an operator's configuration says of fetching. It fails if a file of certificates can't be used.
func ConfigOf(op *manifest.Operator) (Config, error) {
	cfg := Config{
		Fetches: op.Process.Fetches, PerOrigin: op.Process.PerOrigin,
		DNS: dial.CacheConfig{TTL: time.Duration(op.DNS.TTL), Entries: op.DNS.Entries},
	}
	if op.DNS.TTL == 0 {
		cfg.DNS.TTL = -1
	}
	for i, u := range op.Upstreams {
		compiled, err := upstreamOf(u)
		if err != nil {
			return Config{}, fmt.Errorf("upstreams[%d]: %w", i, err)
		}
		cfg.Upstreams = append(cfg.Upstreams, compiled)
	}
	return cfg, nil
}

func upstreamOf(u manifest.Upstream) (compiled Upstream, err error) {
	if compiled.Match, err = policy.CompilePatterns(u.Patterns); err != nil {
		return compiled, err
	}
	if compiled.TLS, err = tlsOf(u.TLS); err != nil {
		return compiled, err
	}
	if u.Proxy != "" {
		if compiled.Proxy, err = dial.ParseProxy(u.Proxy, nil); err != nil {
			return compiled, err
		}
	}
	if u.Rate != "" {
		n, per, err := manifest.ParseRate(u.Rate)
		if err != nil {
			return compiled, err
		}
		compiled.Rate = &upstream.Rate{N: n, Per: per}
	}
	s := &compiled.Settings
	if b := u.Breaker; b != nil {
		s.Breaker = &upstream.Breaker{
			Failures: float64(b.Failures) / 100, Requests: b.Requests, Window: time.Duration(b.Window), Pause: time.Duration(b.Pause),
		}
	}
	if a := u.Adaptive; a != nil {
		s.Adaptive = &upstream.Adaptive{Initial: a.Initial, Min: a.Min, Max: a.Max}
	}
	if r := u.RetryBudget; r != nil {
		s.Retries = upstream.RetryBudget{
			Ratio: float64(r.Percent) / 100, Minimum: r.Minimum, Window: time.Duration(r.Window), None: r.Percent == 0 && r.Minimum == 0,
		}
	}
	return compiled, s.Check()
}

// tlsOf reads the files. Without any of its keys, it is nil.
func tlsOf(t manifest.UpstreamTLS) (*tls.Config, error) {
	if t == (manifest.UpstreamTLS{}) {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.MinVersion == "1.3" {
		cfg.MinVersion = tls.VersionTLS13
	}
	if t.Roots != "" {
		pem, err := os.ReadFile(t.Roots)
		if err != nil {
			return nil, fmt.Errorf("tls.roots: %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.roots: %s holds no certificate in PEM", t.Roots)
		}
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
