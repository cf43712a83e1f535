package lint

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSBOM holds the bill of materials in SORTIE_SBOM to CycloneDX's schema, and decodes it with CycloneDX's own types.
func TestSBOM(t *testing.T) {
	t.Parallel()
	file := os.Getenv("SORTIE_SBOM")
	if file == "" {
		t.Skip("SORTIE_SBOM names no bill of materials: go test ./server/deploy builds one")
	}
	schema := cycloneDX(t)
	text := read(t, file)
	if err := validate(schema, text); err != nil {
		t.Error(err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader([]byte(text)), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cyclonedx.SpecVersion1_6 || len(*bom.Components) < 10 {
		t.Errorf("%s, %d components", bom.SpecVersion, len(*bom.Components))
	}
	for name, b := range map[string][2]string{
		"unknown key":     {`"bomFormat"`, `"format"`},
		"unknown hash":    {`"SHA-256"`, `"SHA256"`},
		"no digest":       {`"content": "`, `"content": "x`},
		"no serial":       {"urn:uuid:", "uuid:"},
		"unknown kind":    {`"library"`, `"module"`},
		"unknown licence": {"Apache-2.0", "Apache-2"},
	} {
		if validate(schema, replaced(t, text, b[0], b[1])) == nil {
			t.Errorf("%s: no problem was found", name)
		}
	}
}

// cycloneDX is the schema of 1.6, from the module that has CycloneDX's types.
func cycloneDX(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	const base = "http://cyclonedx.org/schema/"
	for as, name := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, filepath.Join(strings.TrimSpace(string(out)), "schema", name))))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(base+as, doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(base + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(schema *jsonschema.Schema, text string) error {
	var bom any
	if err := json.Unmarshal([]byte(text), &bom); err != nil {
		return err
	}
	return schema.Validate(bom)
}
