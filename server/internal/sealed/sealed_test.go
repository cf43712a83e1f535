package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"filippo.io/age"
)

const (
	// testKey is what age-keygen wrote, and testSealed what Seal made of the secret API_KEY "s3cr3t value" with it: it opens for ever.
	testKey = "# created: 2026-11-26T11:47:04Z\n" +
		"# public key: age1qspzlv8u5hamaan5r2r3faysxgwumnwdqy6knhuu256ws28dvf2qpuqlsa\n" +
		"AGE-SECRET-KEY-14MKX07L735LCAGN5CQH355R2T02X9QD4W3EXRY5XP2WU7FD7FVJSLTKCPY\n"
	testSealed = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBYSnVWbzFaSG5FR0JVVk01YTdOS2NrUEZpQzJFQmo1aFZTME5YeHBnMlJzCk1TT0RTU0FNWkVpSkUw" +
		"cndDSEZtQ3NNRVJTcXZOL2dSRG12YjBJQWJFUU0KLS0tIFVPd0l0eVZYMVpaVHpTZDQ2Y0d2MExoNkNsNWUxR2xMY0xFa0hHZElDYjAKLtItUsAwSglXyYiB" +
		"RH4r+B3Qix+BvPK6oKYY2uRKAx+tCW+IBCl7ndFL/D6izLXlX93d5pJs19E1OYn7"
)

func parseKey(tb testing.TB, text string) *Key {
	tb.Helper()
	k, err := ParseKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func generate(tb testing.TB) *Key {
	tb.Helper()
	text, err := Generate()
	if err != nil {
		tb.Fatal(err)
	}
	return parseKey(tb, text)
}

// encrypt is age alone: whoever has the public key can do this.
func encrypt(tb testing.TB, plain []byte, to ...age.Recipient) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	k := generate(t)
	for _, c := range []struct{ name, value string }{
		{"API_KEY", "s3cr3t"}, {"API_KEY", ""}, {"", "no name"}, {"NUL", "a\x00b\xff"},
		{strings.Repeat("n", MaxName), strings.Repeat("v", MaxValue)},
	} {
		one, err := k.Seal(c.name, []byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		two, err := k.Seal(c.name, []byte(c.value))
		if err != nil || bytes.Equal(one, two) {
			t.Fatalf("sealed twice alike, or %v", err)
		}
		if len(one) > maxSealed || c.value != "" && bytes.Contains(one, []byte(c.value)) || c.name != "" && bytes.Contains(one, []byte(c.name)) {
			t.Fatalf("%.20q: %d bytes, or it shows", c.name, len(one))
		}
		if v, err := k.Open(c.name, one); err != nil || v == nil || string(v) != c.value {
			t.Fatalf("%.20q: opened as %.20q, %v", c.name, v, err)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	k := generate(t)
	value := bytes.Repeat([]byte("hunter2"), MaxValue/7+1)
	for _, c := range []struct {
		k     *Key
		name  string
		value []byte
		says  string
	}{
		{k, "N", value[:MaxValue+1], `seal secret "N": the value has 65537 bytes; 65536 is the most`},
		{k, strings.Repeat("n", MaxName+1), value[:7], "the name has 1025 bytes; 1024 is the most"},
		{nil, "N", value[:7], "no key"},
		{&Key{}, "N", value[:7], "no key"},
	} {
		got, err := c.k.Seal(c.name, c.value)
		if err == nil || got != nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 200 {
			t.Errorf("got %d bytes, %v; want %q", len(got), err, c.says)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k, other := generate(t), generate(t)
	const name, value = "API_KEY", "hunter2-hunter2-hunter2"
	sealed, err := k.Seal(name, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	plain := appendField(appendField([]byte{version}, []byte(name)), []byte(value))
	to := k.identity().Recipient()
	passphrase, err := age.NewScryptRecipient("p")
	if err != nil {
		t.Fatal(err)
	}
	passphrase.SetWorkFactor(1)
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	payload := bytes.Index(sealed, []byte("\n--- ")) + 1
	mac := bytes.Clone(sealed)
	mac[payload+6] ^= 1
	for _, c := range []struct {
		what, name string
		k          *Key
		sealed     []byte
		want       error
	}{
		{"another key", name, other, sealed, ErrKey},
		{"for two keys, neither this", name, k, encrypt(t, plain, other.identity().Recipient(), generate(t).identity().Recipient()), ErrKey},
		{"a passphrase", name, k, encrypt(t, plain, passphrase), ErrKey},
		{"no key", name, nil, sealed, errNoKey},
		{"zero key", name, &Key{}, sealed, errNoKey},

		{"another name", "API_KEY2", k, sealed, ErrName},
		{"a shorter name", "API_KE", k, sealed, ErrName},
		{"no name", "", k, sealed, ErrName},
		{"name and value", name + value, k, sealed, ErrName},
		{"a longer name than any", strings.Repeat("n", MaxName+1), k, sealed, ErrName},

		{"nothing", name, k, nil, ErrCorrupt},
		{"the value itself", name, k, []byte(value), ErrCorrupt},
		{"two lines of it", name, k, []byte(value + "\n" + value), ErrCorrupt},
		{"a key file", name, k, []byte("AGE-SECRET-KEY-1" + value), ErrCorrupt},
		{"the header alone", name, k, sealed[:payload], ErrCorrupt},
		{"cut off", name, k, sealed[:len(sealed)-1], ErrCorrupt},
		{"one more byte", name, k, append(bytes.Clone(sealed), 0), ErrCorrupt},
		{"another last byte", name, k, damaged, ErrCorrupt},
		{"another header", name, k, mac, ErrCorrupt},
		{"too large", name, k, append(bytes.Clone(sealed), make([]byte, maxSealed)...), ErrCorrupt},

		{"encrypted by another program", name, k, encrypt(t, []byte(value), to), ErrCorrupt},
		{"empty", name, k, encrypt(t, nil, to), ErrCorrupt},
		{"a version alone", name, k, encrypt(t, plain[:1], to), ErrCorrupt},
		{"another version", name, k, encrypt(t, append([]byte{2}, plain[1:]...), to), ErrCorrupt},
		{"a length that is cut off", name, k, encrypt(t, plain[:3], to), ErrCorrupt},
		{"a name that is cut off", name, k, encrypt(t, plain[:8], to), ErrCorrupt},
		{"no value", name, k, encrypt(t, plain[:5+len(name)], to), ErrCorrupt},
		{"a value that is cut off", name, k, encrypt(t, plain[:len(plain)-1], to), ErrCorrupt},
		{"more than a value", name, k, encrypt(t, append(bytes.Clone(plain), 0), to), ErrCorrupt},
		{"lengths past all", name, k, encrypt(t, []byte{version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, to), ErrCorrupt},
		{"a name too long", name, k, encrypt(t, appendField(appendField([]byte{version}, make([]byte, MaxName+1)), nil), to), ErrCorrupt},
		{"a value too long", name, k, encrypt(t, appendField(appendField([]byte{version}, []byte(name)), make([]byte, MaxValue+1)), to), ErrCorrupt},
		{"more than is read", name, k, encrypt(t, append(bytes.Clone(plain), make([]byte, maxPlain)...), to), ErrCorrupt},
	} {
		got, err := c.k.Open(c.name, c.sealed)
		if !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: got %.20q, %v; want %v", c.what, got, err, c.want)
			continue
		}
		if rest := strings.TrimPrefix(err.Error(), fmt.Sprintf("open secret %.80q: ", c.name)); rest != c.want.Error() {
			t.Errorf("%s: %v says more than the name and why", c.what, err)
		}
	}
}

// Any other byte anywhere, and any shorter length, is an error.
func TestOpenDamaged(t *testing.T) {
	t.Parallel()
	k := parseKey(t, testKey)
	sealed := decode(t, testSealed)
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := k.Open("API_KEY", damaged); err == nil {
			t.Fatalf("byte %d doesn't matter", i)
		}
		if _, err := k.Open("API_KEY", sealed[:i]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d bytes: %v", i, err)
		}
	}
}

func decode(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestOpenOld(t *testing.T) {
	t.Parallel()
	v, err := parseKey(t, testKey).Open("API_KEY", decode(t, testSealed))
	if err != nil || string(v) != "s3cr3t value" {
		t.Fatalf("got %q, %v", v, err)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	line := testKey[strings.Index(testKey, "AGE-"):]
	line = strings.TrimSpace(line)
	want := parseKey(t, testKey).identity().String()
	for what, text := range map[string]string{
		"line": line, "file with CRLF": strings.ReplaceAll(testKey, "\n", "\r\n"), "space": "\n \t" + line + " \n\n# end",
	} {
		if k, err := ParseKey(text); err != nil || k.identity().String() != want {
			t.Errorf("%s: %v", what, err)
		}
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, text, says string }{
		{"nothing", "", "no age key"},
		{"comments alone", "# a\n\n#" + line, "no age key"},
		{"two keys", testKey + line, "line 4: there's a key already"},
		{"something after it", testKey + "x", "line 4: there's a key already"},
		{"a public key", parseKey(t, testKey).identity().Recipient().String(), "line 1: the public half"},
		{"post-quantum", "# a\n" + pq.String(), "line 2: a post-quantum age key"},
		{"an SSH key", "-----BEGIN OPENSSH PRIVATE KEY-----", "line 1: not an age key"},
		{"an encrypted file", "age-encryption.org/v1\n-> scrypt", "line 1: the key is encrypted"},
		{"an armored one", "-----BEGIN AGE ENCRYPTED FILE-----", "line 1: the key is encrypted"},
		{"short", line[:len(line)-1], "not an age key"},
		{"a typing mistake", line[:20] + "!" + line[21:], "not an age key"},
		{"another checksum", line[:len(line)-6] + "QQQQQQ", "not an age key"},
		{"lower case", strings.ToLower(line), "not an age key"},
		{"too large", strings.Repeat("#\n", maxKeyText) + line, "it has"},
	} {
		k, err := ParseKey(c.text)
		if err == nil || k != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v; want %q", c.what, err, c.says)
			continue
		}
		for _, secret := range []string{line[16:28], line[len(line)-12:], "SHA"} {
			if strings.Contains(strings.ToUpper(err.Error()), secret) {
				t.Errorf("%s: %v shows the key", c.what, err)
			}
		}
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	one, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	two, err := Generate()
	if err != nil || one == two {
		t.Fatalf("the same key twice, or %v", err)
	}
	ids, err := age.ParseIdentities(strings.NewReader(one)) // what age itself makes of it
	if err != nil || len(ids) != 1 || !strings.Contains(one, "\n# public key: "+parseKey(t, one).identity().Recipient().String()+"\n") {
		t.Fatalf("%d keys, %v", len(ids), err)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	t.Parallel()
	k := parseKey(t, testKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{k, *k} {
			if got := fmt.Sprintf(verb, v); got != "[key]" {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	if k.String() != "[key]" || k.GoString() != "[key]" {
		t.Errorf("got %s, %s", k, k.GoString())
	}
	holder := struct {
		Key     *Key
		private *Key
		Value   Key
		inner   Key
	}{k, k, *k, *k}
	_ = holder.private
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", []any{&holder, []*Key{k}, map[string]Key{"k": *k}})
	}
	for _, v := range []any{k, *k, holder} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	if b, err := json.Marshal(k); err != nil || string(b) != `"[key]"` {
		t.Errorf("json: %s, %v", b, err)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "key", k, "value", *k, "holder", holder)
	}
	if !strings.Contains(out.String(), "key=[key] value=[key]") || !strings.Contains(out.String(), `"key":"[key]","value":"[key]"`) {
		t.Errorf("slog wrote\n%s", out.String())
	}
	id := k.identity().String()
	raw := fmt.Sprintf("%d", *k.identity()) // {[1 2 3 …] [4 5 6 …]}
	raw = strings.Join(strings.Fields(strings.Trim(raw, "{}[]"))[:4], " ")
	for _, secret := range []string{id, id[16:], strings.ToLower(id[16:40]), raw} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the key shows:\n%s", out.String())
		}
	}
}

// FuzzOpen opens foreign bytes, and what is decrypted of foreign bytes.
func FuzzOpen(f *testing.F) {
	k := parseKey(f, testKey)
	sealed := decode(f, testSealed)
	plain := appendField(appendField([]byte{version}, []byte("API_KEY")), []byte("v"))
	f.Add("API_KEY", sealed, false)
	f.Add("OTHER", sealed, false)
	f.Add("", encrypt(f, nil, k.identity().Recipient()), false)
	f.Add("API_KEY", []byte("age-encryption.org/v1\n-> X25519 a\n\n--- \n"), false)
	f.Add("API_KEY", plain, true)
	f.Add("API_KEY", plain[:7], true)
	f.Add("", []byte{version, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, name string, data []byte, encrypted bool) {
		if encrypted {
			data = encrypt(t, data, k.identity().Recipient())
		}
		v, err := k.Open(name, data)
		if err != nil {
			if v != nil || !errors.Is(err, ErrKey) && !errors.Is(err, ErrName) && !errors.Is(err, ErrCorrupt) || len(err.Error()) > 1000 {
				t.Fatalf("%q, %v", v, err)
			}
			return
		}
		if v == nil || len(v) > MaxValue || len(name) > MaxName {
			t.Fatalf("%d bytes of %d", len(v), len(name))
		}
		if !encrypted && (!bytes.Equal(data, sealed) || name != "API_KEY") {
			t.Fatalf("%q opens as %q", data, name)
		}
		again, err := k.Seal(name, v)
		if err != nil {
			t.Fatal(err)
		}
		if w, err := k.Open(name, again); err != nil || !bytes.Equal(w, v) {
			t.Fatalf("%q, and again %q, %v", v, w, err)
		}
	})
}
