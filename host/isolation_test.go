package host_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/hosttest"
	"github.com/sortie-run/sortie/host/internal/image"
	"github.com/sortie-run/sortie/host/manifest"
)

// keepers are guests that leave a secret wherever they can, and search for it.
var keepers = []struct {
	name, yaml  string
	wasm        func(testing.TB) []byte
	plant       func(secret uint64) (path string, body []byte)
	search      func(masked uint64) (path string, body []byte)
	unfit, slow bool
}{
	{
		name: "Go", yaml: "limits: {memory: 64MiB}", slow: true,
		wasm:   func(t testing.TB) []byte { return hosttest.Build(t, guestDir) },
		plant:  func(s uint64) (string, []byte) { return "/plant", words("", s) },
		search: func(s uint64) (string, []byte) { return "/search", words("", s) },
	},
	{
		name: "raw Go", yaml: "entry: keep", slow: true,
		wasm:   func(t testing.TB) []byte { return hosttest.Build(t, "testdata/keeper") },
		plant:  func(s uint64) (string, []byte) { return "/", words("p", s) },
		search: func(s uint64) (string, []byte) { return "/", words("s", s) },
	},
	{
		name: "wat", yaml: "name: wat",
		wasm:   func(t testing.TB) []byte { return file(t, "testdata/wat/keeper.wasm") },
		plant:  func(s uint64) (string, []byte) { return "/", words("p", s) },
		search: func(s uint64) (string, []byte) { return "/", words("s", s) },
	},
	{
		name: "unfit wat", yaml: "name: wat", unfit: true,
		wasm:   func(t testing.TB) []byte { return file(t, "testdata/wat/unfit.wasm") },
		plant:  func(s uint64) (string, []byte) { return "/", words("p", s) },
		search: func(s uint64) (string, []byte) { return "/", words("s", s) },
	},
}

func words(prefix string, word uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte(prefix), word)
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mask keeps the secret out of the guest that searches for it.
const mask = 0x5aa5_1234_8765_a55a

// Nothing that an invocation leaves is there in the next one: 1,000 times for each kind of plugin, from an image and started anew. The other ways to
// bring an image back are tried fewer times with guests that take long to search; package image tests them more.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, k := range keepers {
		for _, method := range []image.Method{image.Watch, image.Scan, image.Refault, image.Copy, image.None} {
			t.Run(k.name+"/"+method.String(), func(t *testing.T) {
				t.Parallel()
				rt := newRuntime(t, fetch.Config{})
				rt.UseImages(method)
				p := loadBytes(t, rt, k.wasm(t), k.yaml)
				if unfit := p.Unfit() != ""; unfit != (k.unfit || method == image.None) {
					t.Fatalf("unfit: %q", p.Unfit())
				}
				rounds := 1000
				if k.slow && method != image.Watch && method != image.None {
					rounds = 200
				}
				if testing.Short() || instrumented() {
					rounds = 50
				}
				for range rounds {
					secret := rand.Uint64()
					if got := tell(t, p)(k.plant(secret)); got == "" {
						t.Fatal("nothing was planted")
					}
					if got := tell(t, p)(k.search(secret ^ mask)); got != "0" {
						t.Fatalf("the secret %x is found: %s", secret, got)
					}
				}
			})
		}
	}
}

// The guests find what is there: with their state kept, they find it each time.
func TestPooledKeepsState(t *testing.T) {
	t.Parallel()
	for _, k := range keepers {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			p := loadBytes(t, newRuntime(t, fetch.Config{}), k.wasm(t), k.yaml+"\nisolation: pooled")
			const secret = 0x1234_5678_9abc_def1
			tell(t, p)(k.plant(secret))
			path, body := k.search(secret ^ mask)
			resp, _, err := p.Invoke(context.Background(), &host.Request{Path: path, Body: body})
			if err == nil && string(resp.Body) == "0" {
				t.Errorf("nothing is found")
			}
			if err != nil && !k.unfit { // it traps on what it has dropped
				t.Error(err)
			}
		})
	}
}

// tell calls a plugin and returns its answer.
func tell(t testing.TB, p *host.Plugin) func(path string, body []byte) string {
	return func(path string, body []byte) string {
		t.Helper()
		resp, report, err := p.Invoke(context.Background(), &host.Request{Method: "POST", Path: path, Body: body})
		if err != nil {
			t.Fatalf("%v\nlog: %v", err, report.Logs)
		}
		return string(resp.Body)
	}
}

func loadBytes(t testing.TB, rt *host.Runtime, wasm []byte, yaml string) *host.Plugin {
	t.Helper()
	m, err := manifest.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := rt.Load(context.Background(), host.Source{Name: "guest", Version: 1, Wasm: wasm, Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Randomness from crypto/rand and sortie.Rand differs from one invocation to the next; the generators that Go's runtime seeds once, those of
// math/rand and of the order of maps, go on from the saved state and repeat exactly.
func TestRandomness(t *testing.T) {
	t.Parallel()
	p := load(t, newRuntime(t, fetch.Config{}), guestDir, "name: guest")
	if p.Unfit() != "" {
		t.Fatal(p.Unfit())
	}
	type numbers struct {
		Crypto, Map    string
		Sortie, Global uint64
	}
	seen := map[any]bool{}
	var first numbers
	for i := range 50 {
		body, _ := call(t, p, "/random")
		n := fromJSON[numbers](t, body)
		if i == 0 {
			first = n
		}
		if seen[n.Crypto] || seen[n.Sortie] {
			t.Fatalf("a number comes twice: %+v", n)
		}
		seen[n.Crypto], seen[n.Sortie] = true, true
		if n.Global != first.Global || n.Map != first.Map {
			t.Fatalf("math/rand or the order of maps doesn't repeat, against what the documentation says: %+v, %+v", first, n)
		}
	}
}
