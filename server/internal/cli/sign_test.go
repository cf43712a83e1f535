package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"slices"
	"strconv"

	"github.com/jedisct1/go-minisign"
	"github.com/rogpeppe/go-internal/testscript"
)

// minisignKey makes a key pair, the same for each seed. Its ID is the seed.
func minisignKey(ts *testscript.TestScript, seed string) minisign.PrivateKey {
	n, err := strconv.ParseUint(seed, 10, 8)
	ts.Check(err)
	s := minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{byte(n)}}
	copy(s.SecretKey[:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(n)}, ed25519.SeedSize)))
	return s
}

// publicKey is `publickey NAME SEED`: it sets an environment variable to the key's line of a minisign.pub.
func publicKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: publickey NAME SEED")
	}
	s := minisignKey(ts, args[1])
	p := s.PublicKey()
	ts.Setenv(args[0], base64.StdEncoding.EncodeToString(slices.Concat(p.SignatureAlgorithm[:], p.KeyId[:], p.PublicKey[:])))
}

// signFile is `sign FILE SEED OUTPUT`: it signs as `minisign -S -m FILE -x OUTPUT` does with that key.
func signFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: sign FILE SEED OUTPUT")
	}
	s := minisignKey(ts, args[1])
	sig, err := s.Sign([]byte(ts.ReadFile(args[0])), minisign.SignOptions{TrustedComment: "timestamp:1\tfile:" + args[0], Hashed: true})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), sig.Encode(), 0o644))
}
