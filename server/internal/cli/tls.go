package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// certificateTime is how often, at most, the certificate's files are looked at.
const certificateTime = time.Second

// certificate is what the server answers HTTPS with. Its files are read again when they change; a pair that can't be used leaves the one
// before in place, and is tried again, since the two files are seldom written at one instant.
type certificate struct {
	files manifest.TLS
	log   *slog.Logger
	now   func() time.Time

	pair atomic.Pointer[tls.Certificate]

	mu       sync.Mutex // of what follows; never waited for by a handshake
	looked   time.Time
	cert     os.FileInfo // as they were when they were read
	key      os.FileInfo
	complain string // what was last logged
}

// loadCertificate reads the pair. The error says what to do.
func loadCertificate(files manifest.TLS, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, now: time.Now}
	if err := c.read(); err != nil {
		return nil, err
	}
	c.looked = c.now()
	return c, nil
}

// config is TLS as the server speaks it: 1.2 at least, whose cipher suites are Go's choice.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get is a tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		c.refresh()
		c.mu.Unlock()
	}
	return c.pair.Load(), nil
}

// refresh reads the files again if they have changed.
func (c *certificate) refresh() {
	now := c.now()
	if since := now.Sub(c.looked); since >= 0 && since < certificateTime {
		return
	}
	c.looked = now
	cert, certErr := os.Stat(c.files.Cert)
	key, keyErr := os.Stat(c.files.Key)
	if certErr == nil && keyErr == nil && unchanged(c.cert, cert) && unchanged(c.key, key) {
		return
	}
	err := c.read()
	switch {
	case err == nil:
		c.complain = ""
		c.log.Info("certificate read again", "file", c.files.Cert, "expires", c.pair.Load().Leaf.NotAfter)
	case err.Error() != c.complain:
		c.complain = err.Error()
		c.log.Error("the certificate has changed, and the new one can't be used; the old one stays", "err", err)
	}
}

// unchanged tells whether a file is the one that was read. One that was put in its place is another, whatever its time.
func unchanged(before, now os.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// read reads the pair. The files' marks are from before: a change meanwhile is seen the next time.
func (c *certificate) read() error {
	cert, err := os.Stat(c.files.Cert)
	if err != nil {
		return fmt.Errorf("tls.cert: %w", err)
	}
	key, err := os.Stat(c.files.Key)
	if err != nil {
		return fmt.Errorf("tls.key: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: %s and %s: %w; they are a PEM certificate, with its chain, and its key", c.files.Cert, c.files.Key, err)
	}
	c.pair.Store(&pair)
	c.cert, c.key = cert, key
	return nil
}
