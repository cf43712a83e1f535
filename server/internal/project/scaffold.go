package project

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/project/bundle"
)

// Support is the folder in a project that holds what `sortie new` brought along: the SDK's source and the manifest's schema. Its
// name begins with a dot so that `./...` passes it by; it is part of the project and belongs into version control.
const Support = ".sortie"

// schemaFile is where the manifest's first line sends an editor.
const schemaFile = "plugin.schema.json"

//go:embed template/*.tmpl
var templates embed.FS

// CheckLanguage tells whether New has a template for the language.
func CheckLanguage(language string) error {
	if language != "go" {
		return fmt.Errorf("no template for the language %q: use --lang go", language)
	}
	return nil
}

// New writes a project named name into dir, which must be empty or not exist: sources, a test, manifest, README and the SDK. It
// builds with nothing but a Go toolchain, offline. Languages other than "go" are refused.
func New(dir, name, language string) error {
	if err := CheckLanguage(language); err != nil {
		return err
	}
	if err := CheckName(name); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return fmt.Errorf("%s isn't empty: choose another name, or remove what is in it", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s can't be used: %w", dir, err)
	}
	if err := bundle.Extract(bundle.SDK, filepath.Join(dir, Support)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, Support, schemaFile), manifest.Schema(), 0o644); err != nil {
		return err
	}
	version, err := goDirective(filepath.Join(dir, Support, filepath.FromSlash(bundle.SDK), "go.mod"))
	if err != nil {
		return err
	}
	return render(dir, map[string]string{
		"Name": name, "Go": version, "SDK": path.Join(Support, bundle.SDK), "Schema": path.Join(Support, schemaFile),
	})
}

// render writes every template; template/a.tmpl becomes dir/a, and "dot-" at the beginning of a name a dot.
func render(dir string, values map[string]string) error {
	all, err := template.New("").Option("missingkey=error").ParseFS(templates, "template/*.tmpl")
	if err != nil {
		return err
	}
	for _, each := range all.Templates() {
		name := strings.TrimSuffix(each.Name(), ".tmpl")
		if rest, dotted := strings.CutPrefix(name, "dot-"); dotted {
			name = "." + rest
		}
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(each.Execute(file, values), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

var goLine = regexp.MustCompile(`(?m)^go (\S+)$`)

// goDirective reads the SDK's own Go version: a module that requires another can't name an older one.
func goDirective(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	match := goLine.FindSubmatch(data)
	if match == nil {
		return "", fmt.Errorf("%s names no Go version", file)
	}
	return string(match[1]), nil
}
