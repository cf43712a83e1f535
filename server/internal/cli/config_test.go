package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/server/internal/sealed"
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

func TestSecretsKey(t *testing.T) {
	t.Parallel()
	text, err := sealed.Generate()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, public := filepath.Join(dir, "age.key"), filepath.Join(dir, "bad.key")
	for name, content := range map[string]string{file: text, public: "age1public"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func(wrong string, env ...string) {
		t.Helper()
		key, err := (&app{env: env}).secretsKey(dir)
		if wrong == "" && (err != nil || key == nil) || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%q: %v, want %q", env, err, wrong)
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY-1Q") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	open("", "SORTIE_SECRETS_KEY="+text)
	open("", "SORTIE_SECRETS_KEY_FILE="+file)
	open("SORTIE_SECRETS_KEY: ", "SORTIE_SECRETS_KEY=AGE-SECRET-KEY-1QQQQQQQQQQQQQ")
	open("SORTIE_SECRETS_KEY_FILE: ", "SORTIE_SECRETS_KEY_FILE="+public)
	open("SORTIE_SECRETS_KEY_FILE: ", "SORTIE_SECRETS_KEY_FILE="+file+".gone")
	open("set one of them", "SORTIE_SECRETS_KEY="+text, "SORTIE_SECRETS_KEY_FILE="+file)
	// By default it's made in the data folder, once, for its owner alone.
	made := filepath.Join(dir, "secrets.key")
	if _, err := os.Stat(made); err == nil {
		t.Error("a key was made though there was another")
	}
	open("")
	before, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(made); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	open("")
	if after, err := os.ReadFile(made); err != nil || string(after) != string(before) {
		t.Errorf("made again: %v", err)
	}
	if err := os.WriteFile(made, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open("secrets.key: no age key")
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
