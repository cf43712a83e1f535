package bundle

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/tools/txtar"
)

// Pack returns the archive for the repository whose top is root. Left out is what a build on the user's machine doesn't need:
// tests and their data, prose, Wasm modules and dot files. The result depends on names and contents alone.
func Pack(root fs.FS) ([]byte, error) {
	packed := &txtar.Archive{Comment: []byte("Written by `go generate ./server/internal/project/bundle`; not to be edited.\n")}
	for _, folder := range []string{Plugins, SDK} {
		err := fs.WalkDir(root, folder, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")):
				return fs.SkipDir
			case !entry.Type().IsRegular() || !wanted(entry.Name()):
				return nil
			}
			data, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			packed.Files = append(packed.Files, txtar.File{Name: name, Data: data})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("packing %s: %w", folder, err)
		}
	}
	data := txtar.Format(packed)
	return data, verify(packed, data)
}

func wanted(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "_test.go") {
		return false
	}
	switch path.Ext(name) {
	case ".md", ".wasm":
		return false
	}
	return true
}

// verify refuses what the format can't hold: a line that looks like a file marker, or a file without a last line end.
func verify(packed *txtar.Archive, data []byte) error {
	read := txtar.Parse(data)
	for i, file := range packed.Files {
		if i >= len(read.Files) || read.Files[i].Name != file.Name || !bytes.Equal(read.Files[i].Data, file.Data) {
			return fmt.Errorf("%s can't be packed: it holds a line like a txtar marker, or doesn't end with a line end", file.Name)
		}
	}
	return nil
}
