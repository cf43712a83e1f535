package manifest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// readYAML parses YAML into nodes, after bounding what the parser gets.
func readYAML(data []byte) (n *node, aliases bool, failed *Error) {
	// The YAML library has panicked on malformed input before; one more time
	// must cost a deploy, not the server.
	defer func() {
		if r := recover(); r != nil {
			n, aliases, failed = nil, false, &Error{Message: "not valid YAML"}
		}
	}()
	if err := checkLines(data); err != nil {
		return nil, false, err
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens); err != nil {
		return nil, false, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, false, syntaxError(err)
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return nil, false, errorToken(doc.Start, "a second document; the file is one")
		}
		body = doc.Body
	}
	r := &yamlReader{anchors: map[string]*node{}}
	n, failed = r.node(body)
	return n, r.aliases, failed
}

// checkLines bounds the runs of blank lines: the time the YAML library's
// scanner takes for a block of text grows with the product of its length and
// the blank lines at its end.
func checkLines(data []byte) *Error {
	line, blank, empty := 1, 0, true
	for _, c := range data {
		switch c {
		case '\n', '\r':
			if empty {
				blank++
			}
			if blank > maxBlankLines {
				return &Error{Line: line, Column: 1, Message: fmt.Sprintf("more than %d empty lines in a row", maxBlankLines)}
			}
			if c == '\n' {
				line++
			}
			empty = true
		case ' ', '\t':
		default:
			blank, empty = 0, false
		}
	}
	return nil
}

// checkTokens bounds what the YAML library's parser recurses and allocates on:
// it goes one level deeper for each list or mapping and for each key of a block
// mapping, and gives every value its path in full.
func checkTokens(tokens token.Tokens) *Error {
	if len(tokens) > maxTokens {
		return &Error{Message: fmt.Sprintf("more than %d keys, values and marks", maxTokens)}
	}
	flow, blocks := 0, []int{} // columns of the blocks inside each other
	for _, tk := range tokens {
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.MappingKeyType:
			return errorToken(tk, "explicit keys (`? key`) are not read; write `key: value`")
		case token.DirectiveType:
			return errorToken(tk, "directives (`%`) are not read")
		case token.SequenceEntryType:
			blocks = nest(blocks, tk.Position.Column)
		case token.MappingValueType:
			if tk.Prev == nil {
				continue
			}
			if len(tk.Prev.Value) > maxKeyBytes {
				return errorToken(tk.Prev, fmt.Sprintf("a key of %d bytes; %d is the most", len(tk.Prev.Value), maxKeyBytes))
			}
			if flow <= 0 { // else the brackets count, and keys stand beside each other in one line
				blocks = nest(blocks, tk.Prev.Position.Column)
			}
		}
		if flow > maxDepth || len(blocks) > maxDepth {
			return tooDeep(place{line: tk.Position.Line, column: tk.Position.Column})
		}
	}
	return nil
}

// nest gives the columns of the blocks around one at a column, itself the
// last.
func nest(blocks []int, column int) []int {
	for len(blocks) > 0 && blocks[len(blocks)-1] >= column {
		blocks = blocks[:len(blocks)-1]
	}
	return append(blocks, column)
}

func syntaxError(err error) *Error {
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil {
		return errorToken(syntax.GetToken(), strings.ReplaceAll(syntax.GetMessage(), "\n", " "))
	}
	return &Error{Message: "not valid YAML"}
}

func errorToken(tk *token.Token, message string) *Error {
	e := &Error{Message: message}
	if tk != nil && tk.Position != nil {
		e.Line, e.Column = tk.Position.Line, tk.Position.Column
	}
	return e
}

func errorAt(n ast.Node, message string) *Error { return errorToken(n.GetToken(), message) }

// coreFloat is a number of YAML's core schema (YAML 1.2.2, section 10.3.2) that
// has an exponent: the YAML library takes some of them for text.
var coreFloat = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$`)

// yamlReader turns a YAML tree into nodes.
type yamlReader struct {
	anchors map[string]*node // complete ones only, so that none contains itself
	aliases bool             // some were read
	depth   int
}

func (r *yamlReader) node(n ast.Node) (*node, *Error) {
	out := &node{}
	if n == nil {
		return out, nil
	}
	if tk := n.GetToken(); tk != nil && tk.Position != nil {
		out.place = place{line: tk.Position.Line, column: tk.Position.Column}
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return out, nil
	case *ast.BoolNode:
		out.kind, out.truth, out.text = kindBool, n.Value, n.Token.Value
		return out, nil
	case *ast.IntegerNode:
		return out, setNumber(out, fmt.Sprint(n.Value))
	case *ast.FloatNode:
		return out, setNumber(out, fmt.Sprint(n.Value))
	case *ast.InfinityNode, *ast.NanNode:
		return nil, errorAt(n, "not a number that JSON has")
	case *ast.StringNode:
		if n.Token.Type == token.StringType && coreFloat.MatchString(n.Value) {
			return out, setNumber(out, n.Value)
		}
		out.kind, out.text = kindText, strings.ToValidUTF8(n.Value, "\uFFFD")
		return out, nil
	case *ast.LiteralNode:
		out.kind, out.text = kindText, strings.ToValidUTF8(n.Value.Value, "\uFFFD")
		return out, nil
	case *ast.MappingNode:
		return out, r.mapping(out, n.Values)
	case *ast.MappingValueNode:
		return out, r.mapping(out, []*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		return out, r.list(out, n.Values)
	default:
		return r.marked(n)
	}
}

// marked reads what is marked with an anchor, a tag or an alias.
func (r *yamlReader) marked(n ast.Node) (*node, *Error) {
	switch n := n.(type) {
	case *ast.AnchorNode:
		value, err := r.node(n.Value)
		if err == nil {
			r.anchors[n.Name.GetToken().Value] = value
		}
		return value, err
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		r.aliases = true
		if value, ok := r.anchors[name]; ok {
			return value, nil
		}
		return nil, errorAt(n, fmt.Sprintf("alias %s without an anchor; text that begins with * needs quotes", quote("*"+name)))
	case *ast.TagNode:
		return r.tagged(n)
	case *ast.MergeKeyNode:
		return nil, errorAt(n, "merge keys (`<<`) are not read")
	default:
		return nil, errorAt(n, "not a value")
	}
}

func (r *yamlReader) tagged(n *ast.TagNode) (*node, *Error) {
	tag := n.Start.Value
	value, err := r.node(n.Value)
	if err != nil {
		return nil, err
	}
	fits := false
	switch tag {
	case "!!str":
		if value.kind < kindText && n.Value != nil {
			text := *value
			text.kind, text.text = kindText, n.Value.GetToken().Value // as written
			if n.Value.GetToken().Type == token.ImplicitNullType {
				text.text = ""
			}
			value = &text
		}
		fits = value.kind == kindText
	case "!!int":
		fits = value.kind == kindInteger
	case "!!float":
		fits = value.kind == kindInteger || value.kind == kindNumber
	case "!!bool":
		fits = value.kind == kindBool
	case "!!null":
		fits = value.kind == kindNull
	case "!!map":
		fits = value.kind == kindMapping
	case "!!seq":
		fits = value.kind == kindList
	}
	if !fits {
		return nil, errorAt(n, fmt.Sprintf("tag %s does not fit here", quote(tag)))
	}
	return value, nil
}

func (r *yamlReader) list(out *node, values []ast.Node) *Error {
	out.kind = kindList
	return r.nested(out, func() *Error {
		for _, v := range values {
			value, err := r.node(v)
			if err != nil {
				return err
			}
			out.items = append(out.items, value)
		}
		return nil
	})
}

func (r *yamlReader) mapping(out *node, values []*ast.MappingValueNode) *Error {
	out.kind = kindMapping
	return r.nested(out, func() *Error {
		for i, pair := range values {
			key, err := r.key(pair.Key)
			if err != nil {
				return err
			}
			if i == 0 && out.place.column > key.place.column && out.place.line == key.place.line {
				out.place = key.place // a block mapping's own token is its first colon
			}
			value, err := r.node(pair.Value)
			if err != nil {
				return err
			}
			if value.kind == kindNull {
				value = &node{place: key.place} // nothing stands nowhere
			}
			out.entries = append(out.entries, entry{key: key.text, place: key.place, value: value})
		}
		return nil
	})
}

func (r *yamlReader) nested(out *node, read func() *Error) *Error {
	if r.depth >= maxDepth {
		return tooDeep(out.place)
	}
	r.depth++
	defer func() { r.depth-- }()
	return read()
}

// key reads a mapping's key. Numbers and truth values are keys as written.
func (r *yamlReader) key(n ast.Node) (*node, *Error) {
	if n == nil {
		return nil, &Error{Message: "a mapping without a key"}
	}
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		tk := n.GetToken()
		return &node{kind: kindText, text: tk.Value, place: place{line: tk.Position.Line, column: tk.Position.Column}}, nil
	}
	key, err := r.node(n)
	if err != nil {
		return nil, err
	}
	if key.kind == kindNull || key.kind == kindList || key.kind == kindMapping {
		return nil, errorAt(n, key.kind.describe()+" as a key; keys are text")
	}
	return key, nil
}
