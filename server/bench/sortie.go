package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
)

func prepareSortie(ctx context.Context, w *workshop) (string, error) {
	if w.sortie == "" {
		w.say("building sortie")
		w.sortie = filepath.Join(w.dir, "sortie")
		if _, err := w.command(ctx, w.root, nil, "go", "build", "-trimpath", "-o", w.sortie, "./server/cmd/sortie"); err != nil {
			return "", err
		}
	}
	if err := w.guest(ctx, "plugin"); err != nil {
		return "", err
	}
	return w.command(ctx, w.root, nil, w.sortie, "--version")
}

// sortieUsage describes a flag of both commands.
const sortieUsage = "run the sortie in `FILE` instead of one built from the sources"

// sortieConfig is the operator's configuration in the comparison. The limits are above what a scenario asks for, for none is about
// refusing; the others have none.
const sortieConfig = `private: ["http://127.0.0.1:*"]
ceilings: {fetch: {limits: {requests: 1000, concurrency: 256, timeout: 120s}}, limits: {wall: 300s}}
process: {invocations: 1100, queue: 2048, fetches: 12000, per_origin: 12000, drain: 1s}
log: {level: warn}
`

func launchSortie(ctx context.Context, w *workshop, data string) (*target, error) {
	return launchSortieWith(ctx, w, data, sortieConfig)
}

func launchSortieWith(ctx context.Context, w *workshop, data, config string) (*target, error) {
	file := filepath.Join(data, "sortie.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return launch(ctx, command{
		name: "sortie",
		args: []string{w.sortie, "serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(data, "data"), "--config", file},
	}, "/p/bench")
}

func deploySortie(ctx context.Context, w *workshop, t *target) error {
	wasm, err := os.ReadFile(filepath.Join(w.dir, "plugin.wasm"))
	if err != nil {
		return err
	}
	return deployAs(ctx, w, t, "bench", wasm)
}

// deployAs deploys a module under another name, with the manifest in plugin/.
func deployAs(ctx context.Context, w *workshop, t *target, name string, wasm []byte) error {
	manifest, err := os.ReadFile(w.source("plugin", "plugin.yaml"))
	if err != nil {
		return err
	}
	manifest = bytes.Replace(manifest, []byte("\nname: bench\n"), []byte("\nname: "+name+"\n"), 1)
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for part, data := range map[string][]byte{"manifest": manifest, "wasm": wasm} {
		to, err := parts.CreateFormFile(part, part)
		if err != nil {
			return err
		}
		if _, err := to.Write(data); err != nil {
			return err
		}
	}
	if err := parts.Close(); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, t.root+"/v1/plugins/"+name, &form)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", parts.FormDataContentType())
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var deployed struct {
		Clamped []json.RawMessage `json:"clamped"`
	}
	if response.StatusCode != http.StatusCreated || json.Unmarshal(body, &deployed) != nil || len(deployed.Clamped) > 0 {
		return fmt.Errorf("deploying to Sortie: %s: %s", response.Status, bytes.TrimSpace(body))
	}
	return nil
}
