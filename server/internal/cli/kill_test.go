package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/server/store"
)

// returning is a raw plugin that returns n, which a caller sees as plugin_error with n in its detail. n is below 8192.
func returning(n int) []byte {
	code := []byte{0, 0x41, byte(n&0x7f) | 0x80, byte(n >> 7), 0x0b} // no locals, i32.const n
	wasm := []byte("\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06handle\x00\x00")
	return append(append(wasm, 0x0a, byte(len(code)+2), 1, byte(len(code))), code...)
}

// TestServerKilled kills a server at 200 random moments while a plugin is deployed, its traffic moved and rolled back. After each restart it's ready; everything that was acknowledged is there, and of what was under way all or nothing;
// every version has its module; and the audit log replays to what there is.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 200
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	k := &killed{t: t, random: rand.New(rand.NewPCG(seed, 0)), home: t.TempDir()}
	for round := range rounds {
		k.round(binary)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d changes acknowledged; %d had happened without being acknowledged", k.changes, k.caught)
	if k.changes < rounds/2 {
		t.Error("too few changes: the server was killed before it did anything")
	}
}

// killed is a plugin on a server that is killed again and again.
type killed struct {
	t               *testing.T
	random          *rand.Rand
	home            string
	now             deployedState // as it was acknowledged last
	underWay        deployedState // as it was about to be
	events          []store.Event
	changes, caught int
}

// deployedState is what a change changes.
type deployedState struct {
	newest            int
	traffic, previous string // as JSON
}

func (k *killed) round(binary string) {
	url, stop := serveIn(k.t, binary, k.home, "SORTIE_RETENTION__VERSIONS=20")
	defer stop()
	k.check(url)
	if k.t.Failed() {
		return
	}
	// A few changes that are acknowledged, then one with the kill at a random moment of it.
	dead := make(chan struct{})
	for after := k.random.IntN(3); ; after-- {
		if after == 0 {
			time.AfterFunc(time.Duration(k.random.Int64N(int64(25*time.Millisecond))), func() { stop(); close(dead) })
		}
		if !k.change(url) {
			break
		}
	}
	<-dead
}

// change makes one, and reports whether it was acknowledged.
func (k *killed) change(url string) bool {
	next, plugin := k.now, url+"/v1/plugins/killed"
	var method, path, contentType string
	var body []byte
	switch pick := k.random.IntN(4); {
	case k.now.newest < 2 || pick == 0:
		next.newest++
		next.traffic, next.previous = allTo(next.newest), k.now.traffic
		method, contentType, body = http.MethodPut, "application/wasm", returning(next.newest)
	case pick == 1 && k.now.previous != "":
		next.traffic, next.previous = k.now.previous, k.now.traffic
		method, path = http.MethodPost, "/rollback"
	default:
		share := 1 + k.random.IntN(99)
		next.traffic = fmt.Sprintf(`[{"version":%d,"weight":%d},{"version":%d,"weight":%d}]`, k.now.newest-1, share, k.now.newest, 100-share)
		next.previous = k.now.traffic
		method, path, body = http.MethodPut, "/traffic", []byte(next.traffic)
	}
	if next.traffic == k.now.traffic {
		next.previous = k.now.previous
	}
	k.underWay = next
	status, text, err := call(method, plugin+path, body, "Content-Type", contentType)
	if err != nil {
		return false // killed
	}
	if status != http.StatusCreated && status != http.StatusOK {
		k.t.Errorf("%s %s: %d %s", method, path, status, text)
	}
	k.now = next
	k.changes++
	return true
}

func allTo(version int) string { return fmt.Sprintf(`[{"version":%d,"weight":100}]`, version) }

// check looks at what is there after a restart.
func (k *killed) check(url string) {
	t := k.t
	if status, text, err := call(http.MethodGet, url+"/readyz", nil); err != nil || status != http.StatusOK {
		t.Errorf("readyz: %d %s %v", status, text, err)
	}
	var plugin struct {
		Traffic  json.RawMessage
		Revision int64
	}
	status, text, err := call(http.MethodGet, url+"/v1/plugins/killed", nil)
	if status == http.StatusNotFound && k.now.newest == 0 {
		return
	}
	if err := errors.Join(err, json.Unmarshal([]byte(text), &plugin)); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, text, err)
	}
	var list struct {
		Versions []struct {
			Version int
			Digest  string
		}
	}
	if _, text, err = call(http.MethodGet, url+"/v1/plugins/killed/versions", nil); err != nil || json.Unmarshal([]byte(text), &list) != nil {
		t.Fatal(text, err)
	}
	seen := deployedState{newest: list.Versions[0].Version, traffic: string(plugin.Traffic)}
	switch {
	case seen.newest == k.now.newest && seen.traffic == k.now.traffic:
	case seen.newest == k.underWay.newest && seen.traffic == k.underWay.traffic:
		k.now = k.underWay
		k.caught++
	default:
		t.Errorf("there is %+v; %+v was acknowledged, and %+v under way", seen, k.now, k.underWay)
	}
	for _, v := range list.Versions {
		hexa := strings.TrimPrefix(v.Digest, "sha256:")
		if _, err := os.Stat(filepath.Join(k.home, "store", "blobs", "sha256", hexa[:2], hexa)); err != nil {
			t.Errorf("version %d: %v", v.Version, err)
		}
	}
	for range 2 {
		v := list.Versions[k.random.IntN(len(list.Versions))].Version
		said(t, url, v, "Sortie-Version", fmt.Sprint(v))
	}
	k.replay(url, plugin.Revision)
}

// replay reads the audit log on from where it was, and replays all of it.
func (k *killed) replay(url string, revision int64) {
	var log struct{ Events []store.Event }
	after := len(k.events)
	query := "?limit=1000"
	if after > 0 {
		query += fmt.Sprint("&after=", after)
	}
	status, text, err := call(http.MethodGet, url+"/v1/audit"+query, nil)
	if err := errors.Join(err, json.Unmarshal([]byte(text), &log)); err != nil || status != http.StatusOK {
		k.t.Fatalf("%d %s %v", status, text, err)
	}
	k.events = append(k.events, log.Events...)
	replayed, err := store.Replay(k.events)
	if err != nil {
		k.t.Error(err)
	}
	traffic, _ := json.Marshal(replayed["killed"].Traffic)
	if string(traffic) != k.now.traffic || replayed["killed"].Versions[k.now.newest] == "" || k.events[len(k.events)-1].Seq != revision {
		k.t.Errorf("the audit log leads to %+v at %d; there is %+v at %d", replayed["killed"], len(k.events), k.now, revision)
	}
}

// serveIn starts a server on a home's data, with more environment variables, and returns its URL and a function that kills it.
func serveIn(t *testing.T, binary, home string, env ...string) (url string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--addr", "127.0.0.1:0", "--data", home)
	cmd.Env = append([]string{"HOME=" + home}, env...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := record(out)
	kill = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	err = lines.until(func(all []string) bool {
		for _, l := range all {
			if rest, ok := strings.CutPrefix(l, "listening on "); ok {
				url = rest
			}
		}
		return url != ""
	})
	if err != nil {
		kill()
		t.Fatalf("the server doesn't start: %v\n%s", err, lines.text())
	}
	return url, kill
}

var impatient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func call(method, url string, body []byte, header ...string) (status int, text string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := impatient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func said(t *testing.T, url string, want int, header ...string) {
	t.Helper()
	_, text, err := call(http.MethodGet, url+"/p/killed", nil, header...)
	if err != nil || !strings.Contains(text, fmt.Sprintf(`"the plugin returned %d"`, want)) {
		t.Errorf("%v: %s; want %d", err, text, want)
	}
}
