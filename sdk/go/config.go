package sortie

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// Config returns one value of the manifest's `config`: a string as it is, anything else as JSON text. ok tells whether the key is
// there.
func Config(key string) (value string, ok bool) {
	h := host.Current()
	if h == nil || key == "" {
		return "", false
	}
	raw, ok := h.Config(key)
	if !ok {
		return "", false
	}
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &value) == nil {
		return value, true
	}
	return string(raw), true
}

// ConfigInto decodes the manifest's whole `config` into v, a pointer, as encoding/json does. Without a config v stays as it is.
func ConfigInto(v any) error {
	h := host.Current()
	if h == nil {
		return errors.New("sortie: " + noHost)
	}
	raw, ok := h.Config("")
	if !ok || len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("sortie: the manifest's config: %w", err)
	}
	return nil
}
