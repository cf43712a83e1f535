// Package store defines where a Sortie server keeps what has to outlive it: plugins, their immutable numbered versions, the
// modules' bytes, which version takes how much of a plugin's traffic, the tokens, the stored secrets, and who changed what.
//
// A Store promises, and package storetest holds every implementation to it:
//
//   - A change that returned is durable; one that was interrupted at any moment left the old state or the new one, whole.
//   - Changes are ordered: each sees what the one before it left. Two never mix. A change that names a revision is made only if the
//     plugin still has it, and fails with ErrConflict otherwise.
//   - Every change has exactly one [Event], numbered without gaps in that order. Replaying the events gives the state: see [Replay].
//   - Version numbers start at 1 and are never used twice as long as the plugin exists. A deleted plugin's numbering
//     starts at 1 again.
//   - Blobs are content-addressed and verified whenever they are read: Blob returns the bytes of that digest or fails. They go with
//     the last version that names them.
//   - What a method returns is the caller's to keep and to change.
//
// All methods may be called concurrently. What a change does to a plugin is decided here, in [PutRequest.Apply] and its likes, so
// that all implementations decide the same; they keep it.
//
// The implementation in store/files keeps everything in one directory and is the server's default.
package store

import (
	"context"
	"errors"
)

// Errors that implementations return, wrapped with what was being done.
var (
	// ErrNotFound: there is no plugin, version, token or secret of that name, or no blob of that digest.
	ErrNotFound = errors.New("not found")
	// ErrInvalidName: the name isn't one that ValidName accepts.
	ErrInvalidName = errors.New("invalid plugin name")
	// ErrConflict: the plugin isn't at the revision that the change expects, or there is nothing to roll back to.
	ErrConflict = errors.New("conflict")
	// ErrTraffic: the table's weights aren't 0 to 100 each and 100 together, or it names a version twice.
	ErrTraffic = errors.New("invalid traffic table")
	// ErrFull: there are as many tokens or secrets as there may be.
	ErrFull = errors.New("too many")
	// ErrCorrupt: what is stored isn't what was put there.
	ErrCorrupt = errors.New("stored data is corrupt")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Store keeps what a server has to remember. The package comment says what it promises. Besides the errors that a method names, it
// fails with ErrClosed, the context's error, or the storage's own.
type Store interface {
	// Put adds a version to the plugin, which is created if there is none of that name; see PutRequest.Apply. It fails with
	// ErrInvalidName or ErrConflict.
	Put(ctx context.Context, r PutRequest) (PutResult, error)
	// SetTraffic gives the plugin another traffic table and returns it as it then is. It fails with ErrNotFound (the error is a
	// *VersionError if it's a version that isn't there), ErrTraffic or ErrConflict.
	SetTraffic(ctx context.Context, r TrafficRequest) (Plugin, error)
	// Rollback gives the plugin the traffic table that it had before the last one, or one version all traffic. It fails as SetTraffic does;
	// with ErrConflict also if there was no table before.
	Rollback(ctx context.Context, r RollbackRequest) (Plugin, error)
	// Delete removes the plugin with all its versions. It fails with ErrNotFound or ErrConflict.
	Delete(ctx context.Context, r DeleteRequest) error
	// Get returns one plugin, or ErrNotFound.
	Get(ctx context.Context, name string) (Plugin, error)
	// List returns all plugins, ordered by name.
	List(ctx context.Context) ([]Plugin, error)
	// Blob returns the bytes whose digest is given as "sha256:…". It fails with ErrNotFound, or with ErrCorrupt if the
	// stored bytes have another digest.
	Blob(ctx context.Context, digest string) ([]byte, error)

	// AddToken keeps a new token. It fails with ErrConflict if there is one of that ID, and with ErrFull.
	AddToken(ctx context.Context, t Token) error
	// RevokeToken marks the token as revoked, and returns it. Revoking it again changes nothing. It fails with ErrNotFound.
	RevokeToken(ctx context.Context, id, by string) (Token, error)
	// Tokens returns all tokens, those too that are revoked or have expired, the oldest first.
	Tokens(ctx context.Context) ([]Token, error)

	// SetSecret keeps a secret, in place of the one that has its name. It fails with ErrFull.
	SetSecret(ctx context.Context, s Secret) error
	// DeleteSecret removes a secret, or returns ErrNotFound.
	DeleteSecret(ctx context.Context, name, by string) error
	// Secrets returns all secrets, ordered by name.
	Secrets(ctx context.Context) ([]Secret, error)

	// Audit returns events, in their order.
	Audit(ctx context.Context, q AuditQuery) ([]Event, error)
}
