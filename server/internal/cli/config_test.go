package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sortie-run/sortie/host/manifest"
)

func TestDataDir(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the folders below are those of the XDG base directory specification")
	}
	top := t.TempDir()
	for _, test := range []struct {
		name, dir string
		env       []string
		want      string
	}{
		{"named", top + "/named", []string{"HOME=" + top}, "named"},
		{"home", "", []string{"HOME=" + top}, ".local/share/sortie"},
		{"XDG", "", []string{"HOME=" + top, "XDG_DATA_HOME=" + top + "/xdg"}, "xdg/sortie"},
		{"XDG, relative", "", []string{"HOME=" + top, "XDG_DATA_HOME=xdg"}, ".local/share/sortie"},
		{"nothing", "", nil, ""},
	} {
		got, err := (&app{env: test.env}).dataDir(test.dir)
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), "--data") {
				t.Errorf("%s: %q, %v", test.name, got, err)
			}
			continue
		}
		if err != nil || got != filepath.Join(top, test.want) {
			t.Errorf("%s: %q, %v", test.name, got, err)
			continue
		}
		if info, err := os.Stat(got); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", test.name, info, err)
		}
	}
}

func TestServeConfigOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sortie.yaml")
	if err := os.WriteFile(file, []byte("addr: 127.0.0.1:1000\ndata: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "SORTIE_SECRET_KEY=for run alone"
	for _, test := range []struct {
		name       string
		options    serveOptions
		env        []string
		addr, data string
	}{
		{"default", serveOptions{}, []string{secret}, "127.0.0.1:8080", ""},
		{"PORT", serveOptions{}, []string{"PORT=2000"}, "127.0.0.1:2000", ""},
		{"file", serveOptions{config: file}, []string{"PORT=2000"}, "127.0.0.1:1000", "from-file"},
		{"environment", serveOptions{config: file}, []string{"PORT=2000", "SORTIE_ADDR=127.0.0.1:3000"}, "127.0.0.1:3000", "from-file"},
		{"flag", serveOptions{config: file, addr: "127.0.0.1:4000", data: "flag"}, []string{"SORTIE_ADDR=127.0.0.1:3000", "SORTIE_DATA=x"}, "127.0.0.1:4000", "flag"},
	} {
		operator, err := (&app{env: test.env}).serveConfig(test.options)
		if err != nil || operator.Addr != test.addr || operator.Data != test.data {
			t.Errorf("%s: %+v, %v", test.name, operator, err)
		}
	}
}

func TestSecretValues(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{env: []string{"KEY=from env", "EMPTY="}}
	got, err := a.secretValues(&manifest.Operator{Secrets: map[string]manifest.OperatorSecret{"A": {Env: "KEY"}, "B": {File: file}}})
	if diff := cmp.Diff(map[string]string{"A": "from env", "B": "from file"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for name, secret := range map[string]manifest.OperatorSecret{"a variable": {Env: "EMPTY"}, "a file": {File: file + ".gone"}} {
		if _, err := a.secretValues(&manifest.Operator{Secrets: map[string]manifest.OperatorSecret{"A": secret}}); err == nil || !strings.Contains(err.Error(), "secret A: ") {
			t.Errorf("%s that isn't there: %v", name, err)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{"127.0.0.1:0": "127.0.0.1:", "0.0.0.0:0": "127.0.0.1:", "[::1]:0": "[::1]:"} {
		listener, err := listen(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(listener.Addr()); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("%s is reached at %s, want %s…", addr, got, want)
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
}
