package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sortie-run/sortie/server/internal/sealed"
)

// secretsKey is what the server seals secrets with: the environment's key, or else one in the data folder, which is made if there is none.
func (a *app) secretsKey(data string) (*sealed.Key, error) {
	const variable, fileVariable = "SORTIE_SECRETS_KEY", "SORTIE_SECRETS_KEY_FILE"
	text, file := a.getenv(variable), a.getenv(fileVariable)
	switch {
	case text != "" && file != "":
		return nil, fmt.Errorf("%s and %s are both set: set one of them", variable, fileVariable)
	case text != "":
		key, err := sealed.ParseKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		return key, nil
	case file != "":
		key, err := readKey(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fileVariable, err)
		}
		return key, nil
	}
	file = filepath.Join(data, "secrets.key")
	key, err := readKey(file)
	if errors.Is(err, os.ErrNotExist) {
		if err = makeKey(file); err == nil {
			key, err = readKey(file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the key that secrets are sealed with: %w", err)
	}
	return key, nil
}

func readKey(file string) (*sealed.Key, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := sealed.ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// makeKey writes a new key, for its owner alone, and all of it or nothing.
func makeKey(file string) error {
	text, err := sealed.Generate()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".secrets.key-") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	// What is sealed with it mustn't outlive it. Not every system can sync a folder.
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}
