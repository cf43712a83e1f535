package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sortie-run/sortie/server/deploy/sbom"
)

const (
	command = "github.com/sortie-run/sortie/server/cmd/sortie"
	// stamped is the variable that holds a release's version; without -X it is empty.
	stamped = "github.com/sortie-run/sortie/server/internal/cli.version"
	sums    = "SHA256SUMS"
)

// release is what to build, and how.
type release struct {
	version string // v1.2.3, or empty
	out     string
	targets []string // GOOS/GOARCH
	plain   bool     // no version or target in the names
	env     []string
	stderr  io.Writer
}

var (
	versions = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`) // semver.org, without build metadata
	targets  = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
)

func (r *release) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("what is %q? There are only flags", rest[0])
	case r.version != "" && !versions.MatchString(r.version):
		return fmt.Errorf("-version %q: write it as v1.2.3 or v1.2.3-rc.1", r.version)
	case r.plain && len(r.targets) != 1:
		return errors.New("-plain is for one target: several would have one name")
	}
	for _, target := range r.targets {
		if !targets.MatchString(target) {
			return fmt.Errorf("-targets %q: write each as GOOS/GOARCH, such as linux/amd64", target)
		}
	}
	return nil
}

// build builds everything, and tells the files, SHA256SUMS last.
func (r *release) build(ctx context.Context) (files []string, err error) {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return nil, err
	}
	for _, target := range r.targets {
		binary := filepath.Join(r.out, r.name(target))
		if err := r.compile(ctx, target, binary); err != nil {
			return nil, fmt.Errorf("%s: %w", target, err)
		}
		bill := strings.TrimSuffix(binary, ".exe") + ".cdx.json"
		if err := writeBill(binary, r.version, bill); err != nil {
			return nil, fmt.Errorf("%s: %w", target, err)
		}
		files = append(files, binary, bill)
	}
	list := filepath.Join(r.out, sums)
	if err := writeSums(files, list); err != nil {
		return nil, err
	}
	return append(files, list), nil
}

// name is a binary's: sortie-v1.2.3-linux-amd64, with .exe on Windows.
func (r *release) name(target string) string {
	parts := []string{"sortie"}
	if !r.plain {
		version := r.version
		if version == "" {
			version = "devel"
		}
		parts = append(parts, version, strings.ReplaceAll(target, "/", "-"))
	}
	name := strings.Join(parts, "-")
	if strings.HasPrefix(target, "windows/") {
		name += ".exe"
	}
	return name
}

// compile builds the command for a target. -buildvcs=false because an archive of the sources has no history to ask; the version is
// stamped instead.
func (r *release) compile(ctx context.Context, target, binary string) error {
	link := "-s -w"
	if r.version != "" {
		link += " -X " + stamped + "=" + r.version
	}
	goos, goarch, _ := strings.Cut(target, "/")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", link, "-o", binary, command)
	cmd.Env = append(slices.Clone(r.env), "GOOS="+goos, "GOARCH="+goarch)
	cmd.Stdout, cmd.Stderr = r.stderr, r.stderr
	return cmd.Run()
}

// decides are the variables that say which code comes out. Each is set, or taken out.
var decides = map[string]string{
	"CGO_ENABLED": "0", "GO386": "", "GOAMD64": "v1", "GOARM": "", "GOARM64": "v8.0", "GOEXPERIMENT": "", "GOFIPS140": "off", "GOFLAGS": "-mod=readonly",
	"GOOS": "", "GOARCH": "", "GOWORK": "off",
}

// buildEnv is an environment without what would make the builds of two machines differ.
func buildEnv(environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, ours := decides[name]
		return ours
	})
	for name, value := range decides {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func writeBill(binary, version, to string) error {
	bom, err := sbom.Read(binary, version)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(bom.Write(f), f.Close())
}

// writeSums writes the digests of files in the form that `sha256sum --check` reads, beside them.
func writeSums(files []string, to string) error {
	var list strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), filepath.Base(file))
	}
	return os.WriteFile(to, []byte(list.String()), 0o644)
}
