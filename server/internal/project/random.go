package project

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// GlobalRandom finds where the project's own packages use the global functions of math/rand and math/rand/v2. Their generator is seeded before a
// plugin's memory is saved, so that every invocation gets the same numbers; sortie.Rand and crypto/rand differ. Each place is
// file:line: function, the file relative to dir. It is empty where go can't list the sources.
func GlobalRandom(ctx context.Context, dir string, env []string) []string {
	tool, err := FindGo(ctx, env, dir)
	if err != nil {
		return nil
	}
	packages, _ := tool.sources(ctx, dir)
	var found []string
	for _, p := range packages {
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, name := range p.GoFiles {
			found = append(found, globalRandom(dir, filepath.Join(p.Dir, name))...)
		}
	}
	return found
}

func globalRandom(dir, path string) []string {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil // the compiler has the better words for it
	}
	names := map[string]bool{} // under which the packages are known in this file
	for _, i := range file.Imports {
		imported, _ := strconv.Unquote(i.Path.Value)
		switch {
		case imported != "math/rand" && imported != "math/rand/v2":
		case i.Name != nil:
			names[i.Name.Name] = true
		default:
			names["rand"] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	shown := path
	if abs, err := filepath.Abs(dir); err == nil {
		if rel, err := filepath.Rel(abs, path); err == nil && !strings.HasPrefix(rel, "..") {
			shown = rel
		}
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if index, generic := call.Fun.(*ast.IndexExpr); generic { // rand.N[time.Duration](…)
			selector, ok = index.X.(*ast.SelectorExpr)
		}
		if !ok {
			return true
		}
		// Constructors begin with New; those are seeded by whoever calls them.
		if of, ok := selector.X.(*ast.Ident); ok && names[of.Name] && !strings.HasPrefix(selector.Sel.Name, "New") {
			found = append(found, fmt.Sprintf("%s:%d: %s.%s", shown, files.Position(call.Pos()).Line, of.Name, selector.Sel.Name))
		}
		return true
	})
	return found
}
