package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/wasi"
	"github.com/sortie-run/sortie/host/manifest"
)

// Guests written by hand, in testdata/wat: no SDK stands between them and the ABI.
const watDir = "testdata/wat"

// loadWat loads the guest assembled from testdata/wat/NAME.wat.
func loadWat(t testing.TB, rt *host.Runtime, name, yaml string) *host.Plugin {
	t.Helper()
	m, err := manifest.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := rt.Load(context.Background(), host.Source{Name: "guest", Version: 1, Wasm: assembled(t, name), Manifest: m})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func assembled(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(watDir, name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// decoded compiles a module only to look at its sections.
func decoded(t testing.TB, wasm []byte) wazero.CompiledModule {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCustomSections(true))
	t.Cleanup(func() { _ = rt.Close(ctx) })
	compiled, err := rt.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// Every .wasm beside a .wat is made of it: the recipe (testdata/wat/README.md) leaves the text's SHA-256 in it.
func TestWatIsAssembled(t *testing.T) {
	t.Parallel()
	texts, err := filepath.Glob(watDir + "/*.wat")
	if err != nil || len(texts) == 0 {
		t.Fatalf("%d guests, %v", len(texts), err)
	}
	for _, path := range texts {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := sha256.Sum256(text)
		var got []byte
		for _, s := range decoded(t, assembled(t, strings.TrimSuffix(filepath.Base(path), ".wat"))).CustomSections() {
			if s.Name() == "sortie.source" {
				got = s.Data()
			}
		}
		if string(got) != string(want[:]) {
			t.Errorf("%s has changed since it was assembled, or its .wasm was made by other means: run make wat", path)
		}
	}
}

// The one guest knows only what there was before streams; the other reaches every function there is.
func TestWatImports(t *testing.T) {
	t.Parallel()
	imports := func(name string) (all []string) {
		for _, f := range decoded(t, assembled(t, name)).ImportedFunctions() {
			module, name, _ := f.Import()
			all = append(all, module+" "+name)
		}
		return all
	}
	var want []string
	for name := range strings.FieldsSeq("request read_request respond fail log config send group wait head body cancel drop") {
		want = append(want, abi.Namespace+" "+name)
	}
	for name := range strings.FieldsSeq("clock_time_get random_get fd_write fd_read poll_oneoff proc_exit") {
		want = append(want, wasi.Namespace+" "+name)
	}
	if got := imports("abi_v1"); !slices.Equal(got, want) {
		t.Errorf("abi_v1 imports %q", got)
	}
	want = nil
	for _, f := range abi.Functions() {
		want = append(want, abi.Namespace+" "+f.Name)
	}
	for _, f := range wasi.Functions() {
		want = append(want, wasi.Namespace+" "+f.Name)
	}
	if got := imports("hostile"); !slices.Equal(got, want) {
		t.Errorf("the host has %q; hostile.wat imports %q, and should the same in that order", want, got)
	}
}

// A guest built for the first host that spoke v1 runs as it did.
func TestFirstGuestsStillRun(t *testing.T) {
	t.Parallel()
	var g gauge
	hold := g.hold(time.Minute)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			hold(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s %s. ", r.Method, r.URL.Path, r.Header.Get("X-Abi"), body)
	}))
	defer srv.Close()
	p := loadWat(t, newRuntime(t, fetch.Config{}), "abi_v1", "config: {region: eu}\n"+allowLoopback)
	if p.Kind() != "http" || p.StreamsRequest() {
		t.Errorf("it is of kind %s; it streams its request: %t", p.Kind(), p.StreamsRequest())
	}
	const sent = "POST /up%s v1 ping. "
	for _, tc := range []struct {
		path, url string
		status    int
		want      string
	}{
		{"/fetch", "/up", 202, fmt.Sprintf(sent, "")},
		{"/group", "/up", 200, fmt.Sprintf(sent+sent+sent, "a", "b", "c")},
		{"/poll", "/up", 202, fmt.Sprintf(sent, "")},
		{"/cancel", "/hold", 200, "cancelled"},
		{"/drop", "/hold", 200, "dropped"},
		{"/key", "", 200, `"eu"`},
		{"/other", "", 404, ""},
		{"/fetch", "/up", 202, fmt.Sprintf(sent, "")},
	} {
		resp, report, err := invokeWat(p, tc.path, srv.URL+tc.url)
		if err != nil || resp.Status != tc.status || string(resp.Body) != tc.want {
			t.Errorf("%s: %+v, %v; log %v", tc.path, resp, err, report.Logs)
			continue
		}
		if got := fmt.Sprint(resp.Header); got != "[{x-guest abi_v1}]" {
			t.Errorf("%s: fields %s", tc.path, got)
		}
	}
	eventually(t, "nothing is in flight", func() bool { return g.now.Load() == 0 })
}

func invokeWat(p *host.Plugin, path, body string) (*host.Response, *host.Report, error) {
	return p.Invoke(context.Background(), &host.Request{Method: "POST", Path: path, Body: []byte(body), Header: http.Header{"X-In": {"yes"}}})
}

func TestFirstGuestsFailAsTheyDid(t *testing.T) {
	t.Parallel()
	p := loadWat(t, newRuntime(t, fetch.Config{}), "abi_v1", allowLoopback)
	for path, want := range map[string]string{
		"/why":  "plugin_error: no luck",
		"/quit": "plugin_error: the plugin exited with status 3: no luck",
		// A fetch that is denied is a value; this guest's check of its state ends it.
		"/fetch": "plugin_error: the plugin exited with status 35",
	} {
		if _, _, err := invokeWat(p, path, "https://denied.test/"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	_, report, err := invokeWat(p, "/log", "")
	var lines []string
	for _, l := range report.Logs {
		lines = append(lines, l.Level+" "+l.Message)
	}
	if want := []string{"warn careful", "debug in detail", "info printed"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v, log %q", err, lines)
	}
	resp, _, err := invokeWat(p, "/time", "")
	if err != nil || len(resp.Body) != 24 {
		t.Fatalf("%+v, %v", resp, err)
	}
	if now := time.Unix(0, int64(binary.LittleEndian.Uint64(resp.Body))); time.Since(now).Abs() > time.Minute {
		t.Errorf("the time is %s", now)
	}
	if again, _, err := invokeWat(p, "/time", ""); err != nil || string(again.Body[8:]) == string(resp.Body[8:]) {
		t.Errorf("the same random bytes twice, %v", err)
	}
}

// What must not go through gives the errno it always gave.
func TestFirstErrors(t *testing.T) {
	t.Parallel()
	var g gauge
	srv := httptest.NewServer(g.hold(time.Minute))
	defer srv.Close()
	p := loadWat(t, newRuntime(t, fetch.Config{}), "abi_v1", allowLoopback)
	resp, _, err := invokeWat(p, "/errors", srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	want := []int32{
		-abi.EFAULT, -abi.EFAULT, // request, read_request
		-abi.EFAULT, -abi.EINVAL, // respond
		-abi.EFAULT, -abi.EFAULT, -abi.ENOENT, // fail, log, config
		-abi.EFAULT, -abi.EINVAL, // send
		-abi.EFAULT, -abi.EINVAL, // group
		-abi.EBADF, -abi.EBADF, -abi.EBADF, -abi.EBADF, // head, body, cancel, drop of no handle
		-abi.EAGAIN, -abi.EAGAIN, // head and body of what is in flight
		0, -abi.EINVAL, -abi.EFAULT, -abi.EFAULT, // wait: not settled, no such mode, either array outside
		0, -abi.EBADF, // drop, and again
	}
	got := make([]int32, len(resp.Body)/4)
	for i := range got {
		got[i] = int32(binary.LittleEndian.Uint32(resp.Body[i*4:]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %d\nwant %d", got, want)
	}
	eventually(t, "nothing is in flight", func() bool { return g.now.Load() == 0 })
}
