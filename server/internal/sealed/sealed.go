// Package sealed keeps secrets at rest: each is encrypted by age (https://age-encryption.org/v1) for the one key that the server has, and
// bound to its name, so that a value can't be put in another's place. A sealed secret shows its size, and neither its name nor its value.
//
// Sealing hides, and proves nothing about who sealed: that takes the public half of the key, which is in no sealed secret. An older value of
// the same name opens as well as the latest.
package sealed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

const (
	// MaxName is how long a secret's name may be, in bytes.
	MaxName = 1 << 10
	// MaxValue is how long its value may be, in bytes: it goes into a header.
	MaxValue = 64 << 10
)

const (
	// version begins what is encrypted. The name and the value follow, each after its length in four bytes, big-endian.
	version  = 1
	maxPlain = 1 + 4 + MaxName + 4 + MaxValue
	// maxSealed leaves room for what age adds: 200 bytes of header and nonce, 16 bytes for each 64 KiB.
	maxSealed = maxPlain + 1<<10
)

// Why a secret doesn't open. Errors wrap one of these.
var (
	// ErrKey is also the answer if the part of the secret is damaged that holds its own key.
	ErrKey     = errors.New("sealed with another key")
	ErrName    = errors.New("sealed under another name")
	ErrCorrupt = errors.New("not a sealed secret, or a damaged one")
)

// Seal encrypts a secret. The same secret sealed twice differs. No error shows the value.
func (k *Key) Seal(name string, value []byte) ([]byte, error) {
	switch {
	case k == nil || k.identity == nil:
		return nil, fmt.Errorf("seal secret %.80q: %w", name, errNoKey)
	case len(name) > MaxName:
		return nil, fmt.Errorf("seal secret %.80q: the name has %d bytes; %d is the most", name, len(name), MaxName)
	case len(value) > MaxValue:
		return nil, fmt.Errorf("seal secret %.80q: the value has %d bytes; %d is the most", name, len(value), MaxValue)
	}
	plain := make([]byte, 0, maxPlain)
	plain = append(plain, version)
	plain = appendField(plain, []byte(name))
	plain = appendField(plain, value)
	defer clear(plain)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, k.identity().Recipient())
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("seal secret %.80q: %w", name, err)
	}
	return sealed.Bytes(), nil
}

// Open decrypts a secret that Seal encrypted under this name. Errors are ErrKey, ErrName or ErrCorrupt, and show neither the value nor what
// sealed holds, which may be a value that was never sealed.
func (k *Key) Open(name string, sealed []byte) ([]byte, error) {
	value, err := k.open(name, sealed)
	if err != nil {
		return nil, fmt.Errorf("open secret %.80q: %w", name, err)
	}
	return value, nil
}

func (k *Key) open(name string, sealed []byte) ([]byte, error) {
	if k == nil || k.identity == nil {
		return nil, errNoKey
	}
	if len(sealed) > maxSealed {
		return nil, ErrCorrupt
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), k.identity())
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, ErrKey
	} else if err != nil {
		return nil, ErrCorrupt // age's errors quote what they couldn't read
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxPlain+1))
	defer clear(plain)
	if err != nil || len(plain) > maxPlain || len(plain) == 0 || plain[0] != version {
		return nil, ErrCorrupt
	}
	its, rest, ok := cutField(plain[1:], MaxName)
	if !ok {
		return nil, ErrCorrupt
	}
	value, rest, ok := cutField(rest, MaxValue)
	switch {
	case !ok || len(rest) > 0:
		return nil, ErrCorrupt
	case string(its) != name:
		return nil, ErrName
	}
	return append([]byte{}, value...), nil
}

func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

// cutField takes a field of at most limit bytes off the front of b.
func cutField(b []byte, limit uint32) (field, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; n > limit || int(n) > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
