package signature

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jedisct1/go-minisign"
)

// What the minisign command made: its author's public key, and that key's signatures of the word "test" in both algorithms.
const (
	authorKey = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
	authorID  = "E7620F1842B4E81F"

	authorLegacy = "untrusted comment: signature from minisign secret key\n" +
		"RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n" +
		"trusted comment: timestamp:1635442742\tfile:test\n" +
		"0YteLgV960ia80vnA/fHbvkyjl/IoP/HNOCaZfrF0CdhAlp7ok+Tpkya+VpWPX5C/Is3q8a/kEDSY7fBmmgJCg==\n"
	authorPrehashed = "untrusted comment: signature from minisign secret key\n" +
		"RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n" +
		"trusted comment: timestamp:1635443258\tfile:test\thashed\n" +
		"/cj37GK60vryibFn+ftOgbCvW9NKhKYgjVpFFQUcWPAnjO23wrvVDTt7cloNC06maoBli9q6qwZDXXoaxweICQ==\n"
)

// signer makes a key pair, the same for each seed.
func signer(seed byte) minisign.PrivateKey {
	s := minisign.PrivateKey{SignatureAlgorithm: legacy, KeyId: [8]byte{seed, 2, 3, 4, 5, 6, 7, 8}}
	copy(s.SecretKey[:], ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	return s
}

func publicKey(s minisign.PrivateKey) Key { return Key{public: s.PublicKey()} }

func sign(tb testing.TB, s minisign.PrivateKey, module string, hashed bool) string {
	tb.Helper()
	sig, err := s.Sign([]byte(module), minisign.SignOptions{TrustedComment: "for the test\tof it", Hashed: hashed})
	if err != nil {
		tb.Fatal(err)
	}
	return string(sig.Encode())
}

func mustParse(tb testing.TB, text string) Key {
	tb.Helper()
	k, err := ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestVerify(t *testing.T) {
	t.Parallel()
	author := mustParse(t, authorKey)
	one, two := signer(1), signer(2)
	same := signer(3) // another key with the ID of the first
	same.KeyId = one.KeyId
	oneKey, twoKey := publicKey(one), publicKey(two)
	module := "\x00asm\x01\x00\x00\x00"
	for _, c := range []struct {
		name, module, sig string
		keys              []Key
		want              Key
		comment           string
	}{
		{"minisign's, legacy", "test", authorLegacy, []Key{author}, author, "timestamp:1635442742\tfile:test"},
		{"minisign's, prehashed", "test", authorPrehashed, []Key{author}, author, "timestamp:1635443258\tfile:test\thashed"},
		{"legacy", module, sign(t, one, module, false), []Key{oneKey}, oneKey, "for the test\tof it"},
		{"prehashed", module, sign(t, one, module, true), []Key{oneKey}, oneKey, "for the test\tof it"},
		{"empty module", "", sign(t, one, "", true), []Key{oneKey}, oneKey, "for the test\tof it"},
		{"one of several keys", module, sign(t, two, module, true), []Key{author, oneKey, twoKey}, twoKey, "for the test\tof it"},
		{"an ID twice", module, sign(t, one, module, true), []Key{publicKey(same), oneKey}, oneKey, "for the test\tof it"},
		{"CRLF", "test", strings.ReplaceAll(authorLegacy, "\n", "\r\n"), []Key{author}, author, "timestamp:1635442742\tfile:test"},
		{"no newline at the end", "test", strings.TrimSpace(authorLegacy), []Key{author}, author, "timestamp:1635442742\tfile:test"},
		{"empty lines at the end", "test", authorLegacy + "\r\n\n", []Key{author}, author, "timestamp:1635442742\tfile:test"},
		{"another untrusted comment", "test", strings.Replace(authorLegacy, "signature from", "\x1b\xffwhat", 1), []Key{author}, author,
			"timestamp:1635442742\tfile:test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, comment, err := VerifyComment(c.keys, []byte(c.module), []byte(c.sig))
			if err != nil || k != c.want || comment != c.comment {
				t.Fatalf("got key %s, %q, %v", k.ID(), comment, err)
			}
			if k, err := Verify(c.keys, []byte(c.module), []byte(c.sig)); err != nil || k != c.want {
				t.Fatalf("Verify: key %s, %v", k.ID(), err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	author, one := mustParse(t, authorKey), publicKey(signer(1))
	other := signer(3)
	other.KeyId = signer(1).KeyId
	lines := func(change func(l []string) []string) string {
		return strings.Join(change(strings.Split(strings.TrimSuffix(authorPrehashed, "\n"), "\n")), "\n")
	}
	line := func(i int, text string) string {
		return lines(func(l []string) []string { l[i] = text; return l })
	}
	// flip changes a bit of the signature's 74 bytes (line 1) or the comment's 64 (line 3).
	flip := func(i, at int) string {
		return lines(func(l []string) []string {
			data, err := base64.StdEncoding.DecodeString(l[i])
			if err != nil {
				t.Error(err)
			}
			data[at] ^= 0x20
			l[i] = base64.StdEncoding.EncodeToString(data)
			return l
		})
	}
	huge := string(make([]byte, MaxLegacy+1))
	for _, c := range []struct {
		name, module, sig string
		keys              []Key
		want              error
		says              string
	}{
		{"nothing", "test", "", []Key{author}, ErrMissing, "minisign -S -m"},
		{"empty lines", "test", " \r\n\n", []Key{author}, ErrMissing, "plugin.wasm.minisig"},

		{"another module", "Test", authorPrehashed, []Key{author}, ErrBad, authorID},
		{"another module, legacy", "test ", authorLegacy, []Key{author}, ErrBad, authorID},
		{"no module", "", authorLegacy, []Key{author}, ErrBad, authorID},
		{"a legacy signature said to be prehashed", "test", asPrehashed(t, authorLegacy), []Key{author}, ErrBad, authorID},
		{"a prehashed signature said to be legacy", "test", flip(1, 1), []Key{author}, ErrBad, authorID},
		{"a bit of the signature", "test", flip(1, 30), []Key{author}, ErrBad, "sign again"},
		{"a bit of its last byte", "test", flip(1, 73), []Key{author}, ErrBad, "sign again"},
		{"a bit of the comment's signature", "test", flip(3, 5), []Key{author}, ErrBad, "trusted comment"},
		{"another trusted comment", "test", strings.Replace(authorPrehashed, "file:test", "file:best", 1), []Key{author}, ErrBad, "trusted comment"},
		{"a longer trusted comment", "test", strings.Replace(authorPrehashed, "hashed\n", "hashed \n", 1), []Key{author}, ErrBad, "trusted comment"},
		{"the comment of another signature", "test", lines(func(l []string) []string {
			return append(l[:2], strings.Split(authorLegacy, "\n")[2:4]...)
		}), []Key{author}, ErrBad, "trusted comment"},
		{"another key with the same ID", "m", sign(t, other, "m", true), []Key{one}, ErrBad, one.ID()},
		{"legacy and large", huge, sign(t, signer(1), "m", false), []Key{one}, ErrBad, "64 MiB"},

		{"no keys", "test", authorPrehashed, nil, ErrUnknownKey, "none is accepted here"},
		{"a zero key", "test", authorPrehashed, []Key{{}}, ErrUnknownKey, "is 0;"},
		{"a zero key that is named", "test", strings.Replace(authorPrehashed, "RUQf6LRCGA9i55", "RUQAAAAAAAAAAA", 1), []Key{{}}, ErrBad, "key 0,"},
		{"another key", "test", authorPrehashed, []Key{one}, ErrUnknownKey, "by key " + authorID + ", and the one accepted is 807060504030201;"},
		{"other keys", "test", authorPrehashed, []Key{one, publicKey(signer(2)), one}, ErrUnknownKey, "accepted are 807060504030201, 807060504030202;"},
		{"a bit of the key's ID", "test", flip(1, 2), []Key{author}, ErrUnknownKey, "accepted is " + authorID},

		{"too large", "test", authorPrehashed + strings.Repeat("\n", MaxSize), []Key{author}, ErrMalformed, "4096 is the most"},
		{"one line", "test", "x", []Key{author}, ErrMalformed, "it has 1 line,"},
		{"three lines", "test", lines(func(l []string) []string { return l[:3] }), []Key{author}, ErrMalformed, "it has 3 lines,"},
		{"five lines", "test", authorPrehashed + "x", []Key{author}, ErrMalformed, "it has 5 lines,"},
		{"an empty line first", "test", "\n" + authorPrehashed, []Key{author}, ErrMalformed, "it has 5 lines,"},
		{"a public key", "test", "untrusted comment: minisign public key\n" + authorKey, []Key{author}, ErrMalformed, "it has 2 lines,"},
		{"no untrusted comment", "test", line(0, "comment: x"), []Key{author}, ErrMalformed, "line 1"},
		{"no trusted comment", "test", line(2, "x"), []Key{author}, ErrMalformed, "line 3"},
		{"an escape in the trusted comment", "test", line(2, trusted+"\x1b[2J"), []Key{author}, ErrMalformed, "printable ASCII"},
		{"a carriage return in it", "test", line(2, trusted+"a\rb"), []Key{author}, ErrMalformed, "printable ASCII"},
		{"NUL in it", "test", line(2, trusted+"\x00"), []Key{author}, ErrMalformed, "printable ASCII"},
		{"an override in it", "test", line(2, trusted+"\u202e"), []Key{author}, ErrMalformed, "printable ASCII"},
		{"a byte that isn't UTF-8", "test", line(2, trusted+"\xe9"), []Key{author}, ErrMalformed, "printable ASCII"},
		{"not base64", "test", line(1, "!"), []Key{author}, ErrMalformed, "base64"},
		{"short", "test", line(1, "RUQf6LRCGA9i5w=="), []Key{author}, ErrMalformed, "base64"},
		{"no signature of the comment", "test", line(3, authorKey), []Key{author}, ErrMalformed, "base64"},
		{"broken base64", "test", strings.Replace(authorPrehashed, "RUQf", "RU\rQf", 1), []Key{author}, ErrMalformed, "broken up"},
		{"another algorithm", "test", flip(1, 0), []Key{author}, ErrMalformed, `"eD"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, comment, err := VerifyComment(c.keys, []byte(c.module), []byte(c.sig))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || k != (Key{}) || comment != "" {
				t.Fatalf("got key %s, %q, %v; want %v that says %q", k.ID(), comment, err, c.want, c.says)
			}
		})
	}
}

// asPrehashed makes an "Ed" signature an "ED" one.
func asPrehashed(t *testing.T, sig string) string {
	t.Helper()
	if !strings.Contains(sig, "\nRWQ") {
		t.Error("not a legacy signature")
	}
	return strings.Replace(sig, "\nRWQ", "\nRUQ", 1)
}

func TestVerifyLargest(t *testing.T) {
	t.Parallel()
	module := make([]byte, MaxLegacy)
	s := signer(1)
	sig, err := s.Sign(module, minisign.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify([]Key{publicKey(s)}, module, sig.Encode()); err != nil {
		t.Fatal(err)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	file := "untrusted comment: minisign public key E7620F1842B4E81F\n" + authorKey + "\n"
	for name, text := range map[string]string{
		"line": authorKey, "line with space": " \t" + authorKey + "\r\n\n", "file": file,
		"file with CRLF": strings.ReplaceAll(file, "\n", "\r\n"), "indented file": "  " + strings.ReplaceAll(file, "\n", "\n  "),
	} {
		if k, err := ParseKey(text); err != nil || k.ID() != authorID || k != mustParse(t, authorKey) {
			t.Errorf("%s: got key %s, %v", name, k.ID(), err)
		}
	}
	// minisign prints the number, without leading zeros.
	if k := (Key{public: minisign.PublicKey{KeyId: [8]byte{0xef, 0xbe, 0, 0, 0, 0, 0, 0}}}); k.ID() != "BEEF" {
		t.Errorf("got %s", k.ID())
	}
	secret := base64.StdEncoding.EncodeToString(append([]byte("EdScB2"), make([]byte, 152)...))
	for _, c := range []struct{ name, text, says string }{
		{"nothing", "", "no minisign public key"},
		{"space", " \r\n ", "no minisign public key"},
		{"a comment alone", "untrusted comment: x", "not a minisign public key"},
		{"another first line", "x\n" + authorKey, "it has 2 lines"},
		{"two keys", authorKey + "\n" + authorKey, "it has 2 lines"},
		{"three lines", file + authorKey, "it has 3 lines"},
		{"a broken line", authorKey[:8] + "\r" + authorKey[8:], "broken up"},
		{"short", authorKey[:52], "not a minisign public key"},
		{"long", authorKey + "AAAA", "not a minisign public key"},
		{"not base64", strings.Repeat("!", 56), "not a minisign public key"},
		{"another algorithm", "RmQ" + authorKey[3:], "not a minisign public key"},
		{"of a signature's algorithm", "RUQ" + authorKey[3:], "not a minisign public key"},
		{"a signature", authorPrehashed, "is a minisign signature"},
		{"a signature's line", strings.Split(authorPrehashed, "\n")[1], "is a minisign signature"},
		{"a secret key", "untrusted comment: minisign encrypted secret key\n" + secret, "is a minisign secret key"},
		{"a secret key's line", secret, "is a minisign secret key"},
		{"too large", authorKey + strings.Repeat(" ", MaxSize), "4152 bytes"},
	} {
		k, err := ParseKey(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "give the line") || k != (Key{}) {
			t.Errorf("%s: got %v; want an error that says %q", c.name, err, c.says)
		}
		if line := strings.TrimSpace(c.text); len(line) > 40 && strings.Contains(err.Error(), line[len(line)-20:]) {
			t.Errorf("%s: %v shows the text", c.name, err)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", authorKey, "untrusted comment: x\r\n" + authorKey + "\r\n", authorPrehashed, "untrusted comment: \n\n", authorKey[:52]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			if k != (Key{}) || len(err.Error()) > 200 {
				t.Fatalf("ParseKey(%q) = %v, %v", text, k, err)
			}
			return
		}
		data := slices.Concat(k.public.SignatureAlgorithm[:], k.public.KeyId[:], k.public.PublicKey[:])
		if again := mustParse(t, base64.StdEncoding.EncodeToString(data)); again != k || again.ID() != k.ID() {
			t.Fatalf("ParseKey(%q) is key %s, and then %s", text, k.ID(), again.ID())
		}
	})
}

// FuzzVerify looks for a signature that nobody made.
func FuzzVerify(f *testing.F) {
	const module = "test"
	author, one := mustParse(f, authorKey), signer(1)
	made := []string{authorLegacy, authorPrehashed, sign(f, one, module, false), sign(f, one, module, true)}
	for _, s := range made {
		f.Add([]byte(module), []byte(s))
		f.Add([]byte(module+"!"), []byte(strings.ReplaceAll(s, "\n", "\r\n")))
	}
	f.Add([]byte{}, []byte("untrusted comment: \n\ntrusted comment: \n"))
	keys := []Key{{}, author, publicKey(one)}
	f.Fuzz(func(t *testing.T, data, sig []byte) {
		k, comment, err := VerifyComment(keys, data, sig)
		if err != nil {
			classes := 0
			for _, class := range []error{ErrMissing, ErrMalformed, ErrUnknownKey, ErrBad} {
				if errors.Is(err, class) {
					classes++
				}
			}
			if classes != 1 || k != (Key{}) || comment != "" || len(err.Error()) > 400 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("key %s, %q, %v", k.ID(), comment, err)
			}
			return
		}
		s, err := parse(sig)
		if err != nil {
			t.Fatal(err)
		}
		if string(data) != module || !slices.ContainsFunc(made, func(text string) bool {
			m, err := parse([]byte(text))
			m.UntrustedComment = s.UntrustedComment
			return err == nil && m == s && comment == strings.TrimPrefix(m.TrustedComment, trusted)
		}) {
			t.Fatalf("%q is said to be signed by key %s:\n%s", data, k.ID(), sig)
		}
	})
}
