package project

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// EntryError says that a module doesn't export the function that its manifest names.
type EntryError struct {
	Entry   string
	Exports []string // the functions it exports, without those that every reactor has
}

func (e *EntryError) Error() string {
	list := "none"
	if len(e.Exports) > 0 {
		list = strings.Join(e.Exports, ", ")
	}
	return fmt.Sprintf("the module exports no function %q, the manifest's entry; it exports %s", e.Entry, list)
}

// initialize is the reactor's own export: the host calls it before the entry.
const initialize = "_initialize"

// warmup is the SDK's: the host calls it before the first invocation.
const warmup = "sortie_warmup"

// checkEntry tells whether the module in file exports the function.
func checkEntry(file, entry string) error {
	if entry == "" {
		return nil
	}
	wasm, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoModule
	}
	if err != nil {
		return err
	}
	exports, err := functions(wasm)
	if err != nil {
		return fmt.Errorf("reading the module that Go built: %w", err)
	}
	if slices.Contains(exports, entry) {
		return nil
	}
	exports = slices.DeleteFunc(exports, func(name string) bool { return name == initialize || name == warmup })
	return &EntryError{Entry: entry, Exports: exports}
}

var errMalformed = errors.New("it is not a WebAssembly module")

// functions lists the functions that a module exports (WebAssembly Core 2.0, section 5.5.10).
func functions(wasm []byte) ([]string, error) {
	const exportSection = 7
	rest, ok := bytes.CutPrefix(wasm, []byte("\x00asm\x01\x00\x00\x00"))
	if !ok {
		return nil, errMalformed
	}
	for len(rest) > 0 {
		id := rest[0]
		section, after, ok := sized(rest[1:])
		if !ok {
			return nil, errMalformed
		}
		if id == exportSection {
			return exportedFunctions(section)
		}
		rest = after
	}
	return nil, nil
}

func exportedFunctions(section []byte) ([]string, error) {
	const function = 0
	count, n := binary.Uvarint(section)
	if n <= 0 {
		return nil, errMalformed
	}
	rest := section[n:]
	var names []string
	for range count {
		name, after, ok := sized(rest)
		if !ok || len(after) == 0 {
			return nil, errMalformed
		}
		_, n := binary.Uvarint(after[1:]) // the index
		if n <= 0 {
			return nil, errMalformed
		}
		if after[0] == function {
			names = append(names, string(name))
		}
		rest = after[1+n:]
	}
	return names, nil
}

// sized splits off what stands after its own length.
func sized(data []byte) (content, after []byte, ok bool) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, false
	}
	end := n + int(size)
	return data[n:end], data[end:], true
}
