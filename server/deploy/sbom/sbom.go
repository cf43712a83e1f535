// Package sbom writes the bill of materials of a Go binary, as CycloneDX 1.6 in JSON (ECMA-424), from what the go command recorded in
// it. So it tells what was linked, not what a go.mod asks for.
//
//	bom, err := sbom.Read("build/sortie", "v1.2.3")
//	err = bom.Write(out)
//
// Equal binaries have equal bills: there is no time in it, and its serial number is made from the binary's digest.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// BOM is a bill of materials: the part of CycloneDX that is used here.
type BOM struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"` // urn:uuid:…
	Version      int          `json:"version"`
	Metadata     Metadata     `json:"metadata"`
	Components   []Component  `json:"components"`
	Dependencies []Dependency `json:"dependencies"`
}

// Metadata says what the bill is of.
type Metadata struct {
	Component Component `json:"component"`
}

// Component is the binary, a module in it, or Go's standard library.
type Component struct {
	Type       string     `json:"type"` // application or library
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []Hash     `json:"hashes,omitempty"`
	Licenses   []License  `json:"licenses,omitempty"`
	PURL       string     `json:"purl"`
	Properties []Property `json:"properties,omitempty"`
}

// Hash is a digest in hex. A module's is that of go.sum ("h1:"), over the list of its files and their digests.
type Hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// License is one of SPDX's list.
type License struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

// Property is one of the build's settings, as `go version -m` shows them.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Dependency says what a component, named by its bom-ref, needs.
type Dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

// licence is the one Sortie itself is under.
const licence = "Apache-2.0"

// Read makes the bill of the binary in file. Version is the release's, and stands where the binary knows none of its own.
func Read(file, version string) (*BOM, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what was built into %s: %w", file, err)
	}
	digest, err := digestOf(file)
	if err != nil {
		return nil, err
	}
	main := module("application", &info.Main)
	if version != "" {
		main = module("application", &debug.Module{Path: info.Main.Path, Version: version})
	}
	main.Hashes = []Hash{{"SHA-256", hex.EncodeToString(digest)}}
	main.Licenses = make([]License, 1)
	main.Licenses[0].License.ID = licence
	for _, s := range info.Settings {
		main.Properties = append(main.Properties, Property{"go:build:" + s.Key, s.Value})
	}
	bom := &BOM{
		Format: "CycloneDX", Spec: "1.6", Serial: serial(digest), Version: 1, Metadata: Metadata{main},
		Components: []Component{standard(info.GoVersion)},
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		bom.Components = append(bom.Components, module("library", m))
	}
	needs := Dependency{Ref: main.Ref, On: []string{}}
	for _, c := range bom.Components {
		needs.On = append(needs.On, c.Ref)
	}
	bom.Dependencies = []Dependency{needs} // the binary doesn't tell which module needs which
	return bom, nil
}

// Write writes the bill as JSON.
func (b *BOM) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(b)
}

func module(kind string, m *debug.Module) Component {
	c := Component{Type: kind, Name: m.Path, Version: m.Version, PURL: purl(m.Path, m.Version)}
	c.Ref = c.PURL
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == sha256.Size {
		c.Hashes = []Hash{{"SHA-256", hex.EncodeToString(sum)}}
	}
	return c
}

// standard is Go's standard library, under the name that scanners look its vulnerabilities up by.
func standard(goVersion string) Component {
	version, _, _ := strings.Cut(strings.TrimPrefix(goVersion, "go"), " ") // what follows are experiments
	return module("library", &debug.Module{Path: "stdlib", Version: version})
}

// purl is a module's package URL. The golang type's names are in lower case (purl-spec, golang-definition).
func purl(path, version string) string {
	url := "pkg:golang/" + strings.ToLower(path)
	if version != "" {
		url += "@" + strings.NewReplacer("+", "%2B", "(", "%28", ")", "%29").Replace(version)
	}
	return url
}

// serial makes a UUID of version 8 (RFC 9562, section 5.8) from a digest.
func serial(digest []byte) string {
	var id [16]byte
	copy(id[:], digest)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func digestOf(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return sum.Sum(nil), nil
}
