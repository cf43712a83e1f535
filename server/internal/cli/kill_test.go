package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// returning is a raw plugin that returns n, which a caller sees as plugin_error with n in its detail. n is below 8192.
func returning(n int) []byte {
	code := []byte{0, 0x41, byte(n&0x7f) | 0x80, byte(n >> 7), 0x0b} // no locals, i32.const n
	wasm := []byte("\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06handle\x00\x00")
	return append(append(wasm, 0x0a, byte(len(code)+2), 1, byte(len(code))), code...)
}

// TestServerKilledDuringDeploy kills a server while it is deployed to, 50 times: after each restart every version is whole, none
// that was acknowledged is missing, and calls get the last acknowledged one or the one that was under way.
func TestServerKilledDuringDeploy(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	home := t.TempDir()
	acknowledged, caught := 0, 0
	for round := range 50 {
		url, stop := serveIn(t, binary, home)
		newest := checkWhole(t, url, acknowledged)
		if newest > acknowledged {
			caught++ // killed between the change and its acknowledgement
		}
		acknowledged = newest
		if t.Failed() {
			stop()
			t.Fatalf("in round %d", round)
		}
		// A few deploys that are acknowledged, then one with the kill at a random moment of it.
		killed := make(chan struct{})
		after := acknowledged + random.IntN(3)
		for n := acknowledged + 1; ; n++ {
			if n == after+1 {
				time.AfterFunc(time.Duration(random.Int64N(int64(25*time.Millisecond))), func() { stop(); close(killed) })
			}
			if deploy(url, n) != nil {
				break
			}
			acknowledged = n
		}
		<-killed
	}
	t.Logf("%d deploys acknowledged; %d had happened without being acknowledged", acknowledged, caught)
	if acknowledged < 25 {
		t.Error("too few deploys: the server was killed before it did anything")
	}
}

// serveIn starts a server on a home's data and returns its URL and a function that kills it.
func serveIn(t *testing.T, binary, home string) (url string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--addr", "127.0.0.1:0", "--data", home)
	cmd.Env = []string{"HOME=" + home}
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

func deploy(url string, n int) error {
	status, text, err := call(http.MethodPut, url+"/v1/plugins/killed", returning(n), "Content-Type", "application/wasm")
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("%d: %s", status, text)
	}
	return err
}

// checkWhole checks that versions 1 to at least the acknowledged one are there and each does what it was made to do.
func checkWhole(t *testing.T, url string, acknowledged int) (newest int) {
	t.Helper()
	status, text, err := call(http.MethodGet, url+"/v1/plugins/killed/versions", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status == http.StatusNotFound && acknowledged == 0 {
		return 0
	}
	var list struct{ Versions []struct{ Version int } }
	if err := json.Unmarshal([]byte(text), &list); err != nil || status != http.StatusOK {
		t.Fatalf("%d: %s", status, text)
	}
	for _, v := range list.Versions {
		newest = max(newest, v.Version)
	}
	if len(list.Versions) != newest || newest < acknowledged || newest > acknowledged+1 {
		t.Errorf("%d versions up to %d; %d were acknowledged", len(list.Versions), newest, acknowledged)
	}
	for v := max(1, newest-2); v <= newest; v++ {
		said(t, url, v, "Sortie-Version", fmt.Sprint(v))
	}
	said(t, url, newest)
	return newest
}

func said(t *testing.T, url string, want int, header ...string) {
	t.Helper()
	_, text, err := call(http.MethodGet, url+"/p/killed", nil, header...)
	if err != nil || !strings.Contains(text, fmt.Sprintf(`"the plugin returned %d"`, want)) {
		t.Errorf("%v: %s; want %d", err, text, want)
	}
}
