package manifest

import (
	_ "embed" // the two schemas
	"slices"
)

// The schemas are generated from this package's types, comments and defaults;
// TestSchema fails where they have fallen behind.
//
//go:generate go test -run=^TestSchemaIsCurrent$ . -update

//go:embed plugin.schema.json
var pluginSchema []byte

//go:embed sortie.schema.json
var operatorSchema []byte

// Schema gives the JSON Schema (draft 2020-12) of plugin.yaml. An editor takes
// it from a first line such as
// `# yaml-language-server: $schema=plugin.schema.json`. It knows keys, kinds,
// ranges and defaults; Parse is stricter, about rules above all.
func Schema() []byte { return slices.Clone(pluginSchema) }

// OperatorSchema gives the JSON Schema (draft 2020-12) of sortie.yaml.
func OperatorSchema() []byte { return slices.Clone(operatorSchema) }
