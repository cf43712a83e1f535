// Package store defines where a Sortie server keeps what was deployed: plugins, their immutable numbered versions, the
// modules' bytes, and which version takes how much of a plugin's traffic.
//
// A Store promises, and package storetest holds every implementation to it:
//
//   - A Put that returned is durable; one that was interrupted at any moment left the old state or the new one, whole.
//   - Puts of the same plugin are ordered: each sees what the one before it left, and gets the next number.
//   - Version numbers start at 1 and are never used twice as long as the plugin exists. A deleted plugin's numbering
//     starts at 1 again.
//   - Blobs are content-addressed and verified whenever they are read: Blob returns the bytes of that digest or fails.
//   - What a method returns is the caller's to keep and to change.
//
// All methods may be called concurrently.
//
// The implementation in store/files keeps everything in one directory and is the server's default.
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"
)

// Errors that implementations return, wrapped with what was being done.
var (
	// ErrNotFound: there is no plugin of that name, or no blob of that digest.
	ErrNotFound = errors.New("not found")
	// ErrInvalidName: the name isn't one that ValidName accepts.
	ErrInvalidName = errors.New("invalid plugin name")
	// ErrCorrupt: what is stored isn't what was put there.
	ErrCorrupt = errors.New("stored data is corrupt")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Store keeps plugins and their versions. The package comment says what it promises.
type Store interface {
	// Put adds a version to the plugin, which is created if there is none of that name. If a version has the same module
	// and the same manifest, byte for byte, none is added: the newest such one is returned, and created is false.
	// With r.Traffic the returned version takes all traffic, whether it was created or not.
	//
	// It fails with ErrInvalidName, ErrClosed, the context's error, or the storage's own.
	Put(ctx context.Context, r PutRequest) (v Version, created bool, err error)
	// Get returns one plugin, or ErrNotFound.
	Get(ctx context.Context, name string) (Plugin, error)
	// List returns all plugins, ordered by name.
	List(ctx context.Context) ([]Plugin, error)
	// Delete removes the plugin with all its versions, or returns ErrNotFound. Blobs that no other version uses go too.
	Delete(ctx context.Context, name string) error
	// Blob returns the bytes whose digest is given as "sha256:…". It fails with ErrNotFound, or with ErrCorrupt if the
	// stored bytes have another digest.
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// PutRequest is one deploy.
type PutRequest struct {
	Name     string // see ValidName
	Manifest []byte // as the deployer sent it; may be empty
	Wasm     []byte
	Traffic  bool // the version takes all traffic
}

// Plugin is a plugin as it is stored.
type Plugin struct {
	Name     string
	Versions []Version // in ascending order, at least one
	Traffic  []Weight  // empty: no version takes traffic. Otherwise the weights sum to 100
}

// Newest returns the version with the highest number.
func (p *Plugin) Newest() Version { return p.Versions[len(p.Versions)-1] }

// Same returns the newest version with that module and, byte for byte, that manifest.
func (p *Plugin) Same(digest string, manifest []byte) (Version, bool) {
	for _, v := range slices.Backward(p.Versions) {
		if v.Digest == digest && bytes.Equal(v.Manifest, manifest) {
			return v, true
		}
	}
	return Version{}, false
}

// Version returns the version with that number.
func (p *Plugin) Version(number int) (Version, bool) {
	for _, v := range p.Versions {
		if v.Number == number {
			return v, true
		}
	}
	return Version{}, false
}

// Version is one deploy of a plugin. It never changes.
type Version struct {
	Number   int
	Digest   string // of the module, as Digest writes it
	Manifest []byte
	Created  time.Time // UTC
}

// Weight is one version's share of its plugin's traffic, in percent.
type Weight struct {
	Version int `json:"version"`
	Weight  int `json:"weight"`
}

// Digest returns "sha256:" and the lower-case hexadecimal SHA-256 of b.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return digestPrefix + hex.EncodeToString(sum[:])
}

const digestPrefix = "sha256:"

// ValidDigest reports whether s is a digest as Digest writes it.
func ValidDigest(s string) bool {
	hexa, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(hexa) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(hexa) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ValidName reports whether s can name a plugin: [a-z][a-z0-9-]{0,62}.
func ValidName(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
