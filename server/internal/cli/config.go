package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/sortie-run/sortie/host/manifest"
)

// operator reads the operator's configuration: the file, if one is named, over the defaults. The environment is not applied.
func (a *app) operator(file string) (*manifest.Operator, error) {
	if file == "" {
		return manifest.DefaultOperator(), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	operator, err := manifest.ParseOperator(data)
	var all manifest.Errors
	if errors.As(err, &all) {
		return nil, all.In(file)
	}
	return operator, err
}

// everyAddress is what an operator's `private` holds who permits all private addresses where a manifest's rule asks for it.
func everyAddress() []string { return []string{"0.0.0.0/0", "::/0"} }

// dataDir is where a server keeps what it knows: dir if it is set, else the folder "sortie" in the user's data folder as the
// platform has it (XDG base directory specification; elsewhere, the system's own). It is made, for its owner alone.
func (a *app) dataDir(dir string) (string, error) {
	dir, err := a.dataPath(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("the data folder can't be made: %w; name another with --data", err)
	}
	return dir, nil
}

// dataPath is dataDir without making it.
func (a *app) dataPath(dir string) (string, error) {
	if dir == "" {
		base, err := a.userData()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, "sortie")
	}
	return filepath.Abs(dir)
}

func (a *app) userData() (string, error) {
	home, variable := a.getenv("HOME"), "HOME"
	switch runtime.GOOS {
	case "windows":
		if local := a.getenv("LocalAppData"); local != "" {
			return local, nil
		}
		home, variable = "", "LocalAppData"
	case "darwin", "ios":
		home = joinSet(home, "Library", "Application Support")
	default:
		if xdg := a.getenv("XDG_DATA_HOME"); filepath.IsAbs(xdg) { // the specification ignores relative ones
			return xdg, nil
		}
		home = joinSet(home, ".local", "share")
	}
	if home == "" {
		return "", fmt.Errorf("there is no folder for data, because %s isn't set: name one with --data", variable)
	}
	return home, nil
}

func joinSet(base string, parts ...string) string {
	if base == "" {
		return ""
	}
	return filepath.Join(append([]string{base}, parts...)...)
}

// lookupEnv is os.LookupEnv, but that an empty variable isn't set.
func (a *app) lookupEnv(name string) (string, bool) {
	value := a.getenv(name)
	return value, value != ""
}
