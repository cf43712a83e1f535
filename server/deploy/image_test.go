//go:build linux && amd64

package deploy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// imageUser is the Dockerfile's USER.
const imageUser = 65532

// TestScratch runs the release's binary as the image does: alone in a root that it can't write to, as a user without a name, with the
// image's environment and nothing of ours, without /proc and without /tmp. It has to start, pass its health check, take a plugin,
// run it, and end when told.
func TestScratch(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can change the root folder and the user")
	}
	root := t.TempDir()
	if err := copyFile(binaryOf(released(t)), filepath.Join(root, "sortie")); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "data")
	err := os.Chmod(root, 0o755)
	if err == nil {
		err = os.Chmod(filepath.Join(root, "sortie"), 0o755)
	}
	if err == nil {
		err = os.Mkdir(data, 0o700)
	}
	if err == nil {
		err = os.Chown(data, imageUser, imageUser)
	}
	if err != nil {
		t.Fatal(err)
	}
	base := startIn(t, root, imageEnv(t))
	if status, _ := call(t, http.MethodGet, base+"/readyz", "", nil); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
	if err := healthy(t, root, base); err != nil {
		t.Errorf("the health check: %v", err)
	}
	if healthy(t, root, "http://127.0.0.1:1") == nil {
		t.Error("the health check finds a server where there is none")
	}
	if status, _ := call(t, http.MethodGet, base+"/v1/plugins", "", nil); status != http.StatusUnauthorized {
		t.Errorf("without the token: %d", status)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("wasm", "plugin.wasm")
	if err != nil {
		t.Fatal(err)
	}
	part.Write([]byte(read(t, top+"/host/testdata/wat/small.wasm")))
	form.WriteField("manifest", "name: small\n")
	form.Close()
	if status, answer := call(t, http.MethodPut, base+"/v1/plugins/small", form.FormDataContentType(), &body); status != http.StatusCreated {
		t.Fatalf("deploy: %d %s", status, answer)
	}
	if status, answer := call(t, http.MethodGet, base+"/p/small", "token", nil); status != http.StatusOK || answer != "ok" {
		t.Errorf("call: %d %s", status, answer)
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries in the root folder, want the binary and its data: %v", len(entries), err)
	}
}

// TestScratchNeedsToken starts the image without a token.
func TestScratchNeedsToken(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), binaryOf(released(t)), "serve")
	cmd.Env = []string{"SORTIE_ADDR=:8080", "SORTIE_DATA=" + t.TempDir()}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "SORTIE_ADMIN_TOKEN") {
		t.Errorf("serve without a token: %v, %s", err, out)
	}
}

// imageEnv is the Dockerfile's environment, on a port of its own.
func imageEnv(t *testing.T) []string {
	t.Helper()
	set := regexp.MustCompile(`(?m)^ENV (SORTIE_ADDR=.*)$`).FindStringSubmatch(read(t, "Dockerfile"))
	if set == nil {
		t.Fatal("the Dockerfile doesn't set SORTIE_ADDR")
	}
	env := strings.Fields(strings.Replace(set[1], ":8080", "127.0.0.1:0", 1))
	return append(env, "SORTIE_ADMIN_TOKEN=token")
}

// inImage is a command with root for its root folder, as the image's user.
func inImage(ctx context.Context, root string, env []string, command ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
	return cmd
}

// healthy runs the image's health check against a server, once.
func healthy(t *testing.T, root, server string) error {
	t.Helper()
	check := regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD (\[.*\])$`).FindStringSubmatch(read(t, "Dockerfile"))
	if check == nil {
		t.Fatal("the Dockerfile has no HEALTHCHECK")
	}
	var command []string
	if err := json.Unmarshal([]byte(check[1]), &command); err != nil {
		t.Fatal(err)
	}
	out, err := inImage(t.Context(), root, []string{"SORTIE_SERVER=" + server}, command...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// startIn runs /sortie serve with root for its root folder until the test ends, and gives its address.
func startIn(t *testing.T, root string, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := inImage(ctx, root, env, "/sortie", "serve")
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	})
	var text strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if _, address, ok := strings.Cut(lines.Text(), "listening on "); ok {
			go io.Copy(io.Discard, said)
			return address
		}
		text.WriteString(lines.Text() + "\n")
	}
	t.Fatalf("the server doesn't start:\n%s", text.String())
	return ""
}

// call asks as the admin, unless kind is empty: then as nobody. Kind is the body's type.
func call(t *testing.T, method, url, kind string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer token")
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}
