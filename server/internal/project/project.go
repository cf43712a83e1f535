// Package project knows what a plugin is on its author's disk: a folder with plugin.yaml, the Go sources beside it, and the Wasm
// module built from them. It makes such a folder (New), reads one (Open), and builds it with the author's Go toolchain (Build).
//
//	p, err := project.Open("prices")                  // a folder, or the path of a module
//	built, err := project.Build(ctx, project.BuildConfig{Dir: p.Dir, Output: p.Wasm, Env: os.Environ()})
//
// Nothing here talks to a server or runs a plugin.
package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/sortie-run/sortie/host/manifest"
)

// ManifestFile is the manifest's name in every project.
const ManifestFile = "plugin.yaml"

// Project is one plugin on disk.
type Project struct {
	Dir      string             // the folder
	File     string             // the manifest's path; "" for a module that has none
	Data     []byte             // the manifest as written; for a module without one, a line with its name
	Manifest *manifest.Manifest // Data over the defaults, not clamped
	Wasm     string             // the module's path; the file need not exist yet
	Built    bool               // opened by the module's path: it is meant as it is, whatever sources lie beside it
}

// Open reads the project at path: a folder with plugin.yaml, or the path of a module (a name ending in .wasm). A module belongs
// to the plugin.yaml beside it if that names it; otherwise it gets the default manifest and its file's name. Errors in a manifest
// are those of manifest.Parse with File set, so that they print as path:line:column.
func Open(path string) (*Project, error) {
	if strings.EqualFold(filepath.Ext(path), ".wasm") {
		return openModule(path)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is neither a folder nor a .wasm file", path)
	}
	if err != nil {
		return nil, err
	}
	p, err := openDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no %s in %s: name the plugin's folder, or make one with: sortie new NAME", ManifestFile, path)
	}
	return p, err
}

func openDir(dir string) (*Project, error) {
	file := filepath.Join(dir, ManifestFile)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := manifest.Parse(data)
	if err != nil {
		return nil, inFile(err, file)
	}
	return &Project{Dir: dir, File: file, Data: data, Manifest: parsed, Wasm: filepath.Join(dir, filepath.FromSlash(parsed.Wasm))}, nil
}

func openModule(path string) (*Project, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	p, err := openDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if named, err := os.Stat(p.Wasm); err == nil && os.SameFile(named, info) {
			p.Built = true
			return p, nil
		}
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	p = &Project{Dir: dir, Data: nameLine(name), Wasm: path, Built: true}
	if p.Manifest, err = manifest.Parse(p.Data); err != nil {
		// The file's name isn't a plugin's: the caller may still give it one.
		p.Data = nil
		p.Manifest = manifest.Default()
	}
	return p, nil
}

// CheckName tells whether name can be a plugin's, by the manifest's own rule.
func CheckName(name string) error {
	parsed, err := manifest.Parse(nameLine(name))
	var bad *manifest.Error
	switch {
	case errors.As(err, &bad) && strings.HasPrefix(bad.Message, `"`): // it begins with the name
		return errors.New(bad.Message)
	case errors.As(err, &bad):
		return fmt.Errorf("%q can't be a plugin's name: %s", name, bad.Message)
	case err != nil:
		return fmt.Errorf("%q can't be a plugin's name: %w", name, err)
	case parsed.Name != name:
		return fmt.Errorf("%q can't be a plugin's name", name)
	}
	return nil
}

// nameLine is a manifest with nothing but a name, as JSON, which every manifest may be.
func nameLine(name string) []byte {
	line, err := json.Marshal(map[string]string{"name": name})
	if err != nil { // a string always marshals
		return nil
	}
	return line
}

// Setting is one value for a manifest's config.
type Setting struct {
	Key   string // dotted path below config: region, sources.stock
	Value string // YAML
}

// SettingError is a setting that no manifest could take, or that this one has no place for.
type SettingError struct{ Key, Why string }

func (e *SettingError) Error() string { return e.Key + ": " + e.Why }

// Override gives the manifest another name ("": its own) and sets values in its config, in their order. Data becomes JSON then: it has
// no ambiguous scalars, and the author's comments are not needed any more. A setting that can't be made is a *SettingError.
func (p *Project) Override(name string, settings []Setting) error {
	if name == "" && len(settings) == 0 {
		return nil
	}
	tree := map[string]any{}
	if err := yaml.Unmarshal(p.Data, &tree); err != nil {
		return fmt.Errorf("reading %s: %w", p.File, err)
	}
	if name != "" {
		tree["name"] = name
	}
	for _, s := range settings {
		var value any
		if err := yaml.Unmarshal([]byte(s.Value), &value); err != nil {
			return &SettingError{Key: s.Key, Why: "the value isn't YAML: put it in quotes"}
		}
		if err := set(tree, append([]string{"config"}, strings.Split(s.Key, ".")...), value); err != nil {
			return &SettingError{Key: s.Key, Why: err.Error()}
		}
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("the configuration can't be written as JSON: %w", err)
	}
	parsed, err := manifest.Parse(data)
	if err != nil {
		return err
	}
	p.Data, p.Manifest = data, parsed
	return nil
}

// set puts value at path in tree, making the maps on the way.
func set(tree map[string]any, path []string, value any) error {
	for i, key := range path {
		if key == "" {
			return errors.New("a part of the key is empty")
		}
		if i == len(path)-1 {
			tree[key] = value
			break
		}
		switch next := tree[key].(type) {
		case map[string]any:
			tree = next
		case nil:
			made := map[string]any{}
			tree[key] = made
			tree = made
		default:
			return fmt.Errorf("%s is a value, not a map", strings.Join(path[:i+1], "."))
		}
	}
	return nil
}

// inFile names the file in a manifest's errors.
func inFile(err error, file string) error {
	var all manifest.Errors
	if errors.As(err, &all) {
		return all.In(file)
	}
	return fmt.Errorf("%s: %w", file, err)
}
