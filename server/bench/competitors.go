package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// competitor is one of those that are held against each other.
type competitor struct {
	name  string
	title string
	// prepare builds or installs it, and says which version that is. When it fails, the competitor is left out.
	prepare func(context.Context, *workshop) (version string, err error)
	// launch starts it on data of the given folder, which is empty the first time.
	launch func(ctx context.Context, w *workshop, data string) (*target, error)
	// deploy brings the plugin to a target that was launched on an empty folder; nil: it needs none.
	deploy func(ctx context.Context, w *workshop, t *target) error
}

// yardstick is whom the ratios are to.
const yardstick = "native"

// competitors are all of them, in the table's order.
func competitors() []competitor {
	return []competitor{
		{name: yardstick, title: "native Go", prepare: prepareNative, launch: launchNative},
		{name: "sortie", title: "Sortie", prepare: prepareSortie, launch: launchSortie, deploy: deploySortie},
		{name: "workerd", title: "workerd", prepare: prepareWorkerd, launch: launchWorkerd},
		{name: "httpx", title: "HTTPX", prepare: prepareHTTPX, launch: launchHTTPX},
		{name: "extism", title: "Extism SDK", prepare: prepareExtism, launch: launchExtism},
	}
}

// target is a competitor that runs.
type target struct {
	name string
	base string // the endpoints' URLs begin with it
	root string // where it listens: http://host:port
	*child
}

// launch starts a program of ours, or one that says in the same words where it listens.
func launch(ctx context.Context, c command, path string) (*target, error) {
	p, err := spawn(ctx, c)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	root, err := p.announced(waiting)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &target{name: c.name, base: root + path, root: root, child: p}, nil
}

func prepareNative(context.Context, *workshop) (string, error) { return runtime.Version(), nil }

func launchNative(ctx context.Context, w *workshop, _ string) (*target, error) {
	return launch(ctx, command{name: "native", args: []string{w.self, "native"}}, "")
}

func prepareExtism(ctx context.Context, w *workshop) (string, error) {
	if err := w.guest(ctx, "guest"); err != nil {
		return "", err
	}
	sdk, err := w.command(ctx, w.root, nil, "go", "list", "-m", "-f", "{{.Version}}", "github.com/extism/go-sdk")
	if err != nil {
		return "", err
	}
	pdk, err := w.command(ctx, w.source("guest"), nil, "go", "list", "-m", "-f", "{{.Version}}", "github.com/extism/go-pdk")
	return fmt.Sprintf("go-sdk %s, go-pdk %s", sdk, pdk), err
}

func launchExtism(ctx context.Context, w *workshop, _ string) (*target, error) {
	return launch(ctx, command{name: "extism", args: []string{w.self, "extism", "--wasm", filepath.Join(w.dir, "guest.wasm")}}, "")
}

func prepareWorkerd(ctx context.Context, w *workshop) (string, error) {
	dir := filepath.Join(w.dir, "workerd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "workerd.capnp", "worker.js"} {
		if err := copyFile(w.source("peers", name), filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	w.say("installing workerd from npm")
	// No scripts: the program comes in a package of its own, one a platform.
	if _, err := w.command(ctx, dir, nil, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"); err != nil {
		return "", err
	}
	program, err := workerdProgram(w)
	if err != nil {
		return "", err
	}
	return w.command(ctx, dir, nil, program, "--version")
}

func workerdProgram(w *workshop) (string, error) {
	found, err := filepath.Glob(filepath.Join(w.dir, "workerd", "node_modules", "@cloudflare", "workerd-*", "bin", "workerd"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("npm has no workerd for this platform")
	}
	return found[0], nil
}

func launchWorkerd(ctx context.Context, w *workshop, _ string) (*target, error) {
	program, err := workerdProgram(w)
	if err != nil {
		return nil, err
	}
	return launchAt(ctx, func(addr string) command {
		return command{name: "workerd", dir: filepath.Join(w.dir, "workerd"), args: []string{program, "serve", "--socket-addr=http=" + addr, "workerd.capnp"}}
	})
}

func prepareHTTPX(ctx context.Context, w *workshop) (string, error) {
	dir := filepath.Join(w.dir, "httpx")
	python := filepath.Join(dir, "bin", "python")
	w.say("installing HTTPX from PyPI")
	if _, err := os.Stat(python); err != nil {
		if _, err := w.command(ctx, w.dir, nil, "python3", "-m", "venv", dir); err != nil {
			return "", err
		}
	}
	if _, err := w.command(ctx, w.dir, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"-r", w.source("peers", "requirements.txt")); err != nil {
		return "", err
	}
	return w.command(ctx, w.dir, nil, python, "-c", `import platform, httpx, uvicorn
print(f"HTTPX {httpx.__version__}, uvicorn {uvicorn.__version__} with uvloop, Python {platform.python_version()}")`)
}

func launchHTTPX(ctx context.Context, w *workshop, _ string) (*target, error) {
	return launchAt(ctx, func(addr string) command {
		host, port, _ := strings.Cut(addr, ":")
		return command{name: "httpx", dir: w.source("peers"), env: []string{"PYTHONDONTWRITEBYTECODE=1"}, args: []string{
			filepath.Join(w.dir, "httpx", "bin", "python"), "-m", "uvicorn", "app:app", "--host", host, "--port", port, "--loop", "uvloop",
			"--http", "httptools", "--backlog", "4096", "--no-access-log", "--log-level", "warning",
		}}
	})
}

// launchAt starts a program that has to be told its port.
func launchAt(ctx context.Context, c func(addr string) command) (*target, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	p, err := spawn(ctx, c(addr))
	if err != nil {
		return nil, err
	}
	root := "http://" + addr
	return &target{name: p.name, base: root, root: root, child: p}, nil
}
