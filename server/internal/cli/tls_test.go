package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sortie-run/sortie/host/manifest"
)

// certify writes a certificate for 127.0.0.1 that lasts so long, and its key, and returns it as PEM.
func certify(cert, key, name string, lasts time.Duration) ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(lasts), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return public, errors.Join(
		os.WriteFile(cert, public, 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
}

// certificateCommand is `certificate CERT KEY DURATION`: it writes a pair that lasts so long.
func certificateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate CERT KEY DURATION")
	}
	lasts, err := time.ParseDuration(args[2])
	ts.Check(err)
	_, err = certify(ts.MkAbs(args[0]), ts.MkAbs(args[1]), "sortie.test", lasts)
	ts.Check(err)
}

// TestCertificateIsReadAgain: a new pair is taken, a broken or half-written one isn't.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	files := manifest.TLS{Cert: filepath.Join(t.TempDir(), "c.pem"), Key: filepath.Join(t.TempDir(), "k.pem")}
	write := func(name string) {
		if _, err := certify(files.Cert, files.Key, name, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	var log strings.Builder
	c, err := loadCertificate(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	served := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.Subject.CommonName
	}
	write("second")
	if got := served(); got != "first" {
		t.Errorf("%s: the files were looked at too often", got)
	}
	now = now.Add(certificateTime)
	if got := served(); got != "second" {
		t.Error(got)
	}
	key, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	write("third")
	if err := os.WriteFile(files.Key, key, 0o600); err != nil { // the key of another
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(certificateTime)
		if got := served(); got != "second" {
			t.Error(got)
		}
	}
	if n := strings.Count(log.String(), "can't be used"); n != 1 {
		t.Errorf("%d complaints:\n%s", n, log.String())
	}
	_ = os.Remove(files.Key)
	now = now.Add(certificateTime)
	if got := served(); got != "second" {
		t.Error(got)
	}
	write("fourth")
	now = now.Add(certificateTime)
	if got := served(); got != "fourth" {
		t.Errorf("%s\n%s", got, log.String())
	}
	now = now.Add(-time.Hour) // a clock that was set back
	write("fifth")
	if got := served(); got != "fifth" {
		t.Error(got)
	}
}

func TestCertificateErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	if _, err := certify(cert, key, "a", time.Hour); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]manifest.TLS{
		"tls.cert: stat": {Cert: filepath.Join(dir, "none"), Key: key},
		"tls.key: stat":  {Cert: cert, Key: filepath.Join(dir, "none")},
		"tls: ":          {Cert: key, Key: cert},
	} {
		if _, err := loadCertificate(files, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestServeTLS: the server speaks TLS 1.2 at least, and HTTP/2, at both its addresses; /v1 is at one and plugins at the other.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, config := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "sortie.yaml")
	public, err := certify(cert, key, "sortie.test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	text := "admin_addr: 127.0.0.1:0\ntls: {cert: " + cert + ", key: " + key + "}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	read, write := io.Pipe()
	said, ended := record(read), make(chan int, 1)
	go func() {
		ended <- Main(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", config}, nil,
			strings.NewReader(""), io.Discard, write)
		_ = write.Close()
	}()
	urls := map[string]string{}
	if err := said.until(func(lines []string) bool {
		for _, line := range lines {
			before, after, ok := strings.Cut(line, " on https://")
			if ok {
				urls[before] = "https://" + after
			}
		}
		return urls["listening"] != ""
	}); err != nil {
		t.Fatalf("%v: %s", err, said.text())
	}
	plugins, admin := urls["listening"], urls["deploys and everything else below /v1"]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(public)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for _, tt := range []struct {
		url  string
		want int
	}{
		{plugins + "/readyz", 200}, {admin + "/readyz", 200}, {plugins + "/v1/plugins", 404}, {admin + "/v1/plugins", 200},
		{plugins + "/p/none", 404}, {admin + "/", 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != tt.want || response.ProtoMajor != 2 {
			t.Errorf("%s: %s %s", tt.url, response.Proto, response.Status)
		}
	}
	old := &tls.Dialer{Config: &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}} // it must be refused
	if conn, err := old.DialContext(t.Context(), "tcp", strings.TrimPrefix(plugins, "https://")); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("status %d: %s", code, said.text())
	}
}
