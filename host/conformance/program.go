package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Program is what the guest script does, a step after the other. README.md describes the steps; guests/script.wat executes them.
type Program []Step

// Step is one call of a function, or a label.
type Step struct {
	Label string `json:"label"` // where a jump to @label goes on; nothing else then
	Call  string `json:"call"`
	Args  []any  `json:"args"`
	To    string `json:"to"`   // the register for the result, by a name
	Show  string `json:"show"` // how the result is added to the answer: one of shows
}

// functions are those of script.wat, by their place in its table.
var functions = strings.Fields(`end
	request read_request respond fail log config
	send group wait head body quiet outcomes cancel drop
	open open_group read read_error write finish stream_request open_request begin time_left
	fd_write fd_read poll_oneoff random_get clock_time_get proc_exit
	emit emit_number jump await answer write_all read_all copy
	add load_word store_word get_kept set_kept fill grow size
	spin trap divide recurse`)

// kind is how the bytes of a record in the guest's answer are to be read.
type kind uint32

const (
	kindText kind = iota
	kindNumber
	kindHead
	kindError
	kindOutcomes
	kindRequest
	kindHandles
)

// shows are the values of Step.Show.
var shows = map[string]kind{
	"text": kindText, "result": kindNumber, "head": kindHead, "error": kindError, "outcomes": kindOutcomes, "request": kindRequest,
	"handles": kindHandles,
}

// comparisons are those of a jump.
var comparisons = []string{"==", "!=", "<", ">="}

// Places in the guest's memory; see script.wat.
const (
	atHandles = 0x100
	atReady   = 0x180
	atProgram = 0x10000
	atRoom    = 0xc0000

	instruction = 32
	registers   = 64
	maxProgram  = 0x30000
)

// assembler turns a program into the guest's instructions.
type assembler struct {
	code      []word // instructions, eight words each
	data      []byte // what follows them
	labels    map[string]int
	registers map[string]uint32
}

// word is one of an instruction's, to which may be added where something lies once that is known.
type word struct {
	value uint32
	label string // the address of this label
	data  bool   // an offset in data
}

func (p Program) assemble() ([]byte, error) {
	a := &assembler{labels: map[string]int{}, registers: map[string]uint32{}}
	for i, s := range p {
		if err := a.step(s); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if len(p) == 0 || p[len(p)-1].Call != "end" {
		a.emit("answer", 0, word{value: 200})
		a.emit("end", 0, word{})
	}
	return a.link()
}

// link puts the data behind the code, and addresses in place.
func (a *assembler) link() ([]byte, error) {
	base := uint32(atProgram + len(a.code)*4)
	var out []byte
	for _, w := range a.code {
		switch {
		case w.label != "":
			at, ok := a.labels[w.label]
			if !ok {
				return nil, fmt.Errorf("there is no label %q", w.label)
			}
			w.value = uint32(atProgram + at*instruction)
		case w.data:
			w.value += base
		}
		out = binary.LittleEndian.AppendUint32(out, w.value)
	}
	out = append(out, a.patched(base)...)
	if len(out) > maxProgram {
		return nil, fmt.Errorf("it has %d bytes, at most %d fit", len(out), maxProgram)
	}
	return out, nil
}

func (a *assembler) step(s Step) error {
	if s.Label != "" {
		a.labels[s.Label] = len(a.code) / 8
		return nil
	}
	var args []argument
	room := uint32(atRoom)
	for _, v := range s.Args {
		more, err := a.argument(v)
		if err != nil {
			return err
		}
		if object, ok := v.(map[string]any); ok && object["room"] != nil {
			room = more[0].value
		}
		args = append(args, more...)
	}
	if len(args) > 5 {
		return fmt.Errorf("%s has %d arguments", s.Call, len(args))
	}
	to, err := a.register(s.To)
	if err != nil {
		return err
	}
	if !slices.Contains(functions, s.Call) {
		return fmt.Errorf("there is no function %q", s.Call)
	}
	a.call(s.Call, to, args)
	return a.show(s.Show, to, room)
}

// show appends the call's result, or what it read into room, to the guest's answer.
func (a *assembler) show(how string, result, room uint32) error {
	if how == "" {
		return nil
	}
	k, ok := shows[how]
	if !ok {
		return fmt.Errorf("there is no way %q to show a result", how)
	}
	r := argument{word: word{value: result}, register: true}
	switch k {
	case kindNumber:
		a.call("emit_number", scrap, []argument{r})
	case kindHandles: // four bytes each
		double := argument{word: word{value: scrap}, register: true}
		a.call("add", scrap, []argument{r, r})
		a.call("add", scrap, []argument{double, double})
		a.call("emit", scrap, []argument{constant(uint32(k)), constant(atReady), double})
	default:
		a.call("emit", scrap, []argument{constant(uint32(k)), constant(room), r})
	}
	return nil
}

// scrap is the register whose value nobody needs.
const scrap = registers - 1

// register is the number of a named one.
func (a *assembler) register(name string) (uint32, error) {
	if name == "" {
		return scrap - 1, nil // only until the next step
	}
	n, ok := a.registers[name]
	if !ok {
		if n = uint32(len(a.registers)); n >= scrap-1 {
			return 0, fmt.Errorf("there are more than %d registers", n)
		}
		a.registers[name] = n
	}
	return n, nil
}

// argument is one of a call's: a value, or the register that has it.
type argument struct {
	word
	register bool
}

func constant(v uint32) argument { return argument{word: word{value: v}} }

func (a *assembler) emit(function string, to uint32, args ...word) {
	all := make([]argument, len(args))
	for i, w := range args {
		all[i].word = w
	}
	a.call(function, to, all)
}

func (a *assembler) call(function string, to uint32, args []argument) {
	mask := uint32(0)
	words := make([]word, 5)
	for i, arg := range args {
		words[i] = arg.word
		if arg.register {
			mask |= 1 << i
		}
	}
	a.code = append(a.code, word{value: uint32(slices.Index(functions, function))}, word{value: to}, word{value: mask})
	a.code = append(a.code, words...)
}

// argument makes one value of a vector the arguments that it stands for: an address and a length, in most cases.
func (a *assembler) argument(v any) ([]argument, error) {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		return []argument{constant(uint32(n))}, err
	case string:
		if name, ok := strings.CutPrefix(v, "$"); ok {
			n, known := a.registers[name]
			if !known {
				return nil, fmt.Errorf("nothing was put into %s before", v)
			}
			return []argument{{word: word{value: n}, register: true}}, nil
		}
		if name, ok := strings.CutPrefix(v, "@"); ok {
			return []argument{{word: word{label: name}}}, nil
		}
		if n := slices.Index(comparisons, v); n >= 0 {
			return []argument{constant(uint32(n))}, nil
		}
	case map[string]any:
		if len(v) == 1 {
			for key, value := range v {
				return a.bytes(key, value)
			}
		}
	}
	return nil, fmt.Errorf("%s is no argument", short(v))
}

// bytes are an address and a length of something that lies in the guest's memory.
func (a *assembler) bytes(key string, value any) ([]argument, error) {
	switch key {
	case "room":
		n, _ := number(value)
		return []argument{constant(atRoom), constant(uint32(n))}, nil
	case "ready":
		return []argument{constant(atReady)}, nil
	case "handles":
		return a.handles(value)
	case "address": // of what else would be two arguments
		object, _ := value.(map[string]any)
		for key, value := range object {
			both, err := a.bytes(key, value)
			if err != nil {
				return nil, err
			}
			return both[:1], nil
		}
	}
	data, err := a.encode(key, value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return []argument{{word: word{value: a.place(data), data: true}}, constant(uint32(len(data)))}, nil
}

// handles puts registers where wait finds them.
func (a *assembler) handles(value any) ([]argument, error) {
	list, _ := value.([]any)
	for i, v := range list {
		one, err := a.argument(v)
		if err != nil {
			return nil, err
		}
		a.call("store_word", scrap, []argument{constant(uint32(atHandles + 4*i)), one[0]})
	}
	return []argument{constant(atHandles), constant(uint32(len(list)))}, nil
}

// place appends to the data, and returns the offset.
func (a *assembler) place(b []byte) uint32 {
	at := len(a.data)
	a.data = append(a.data, b...)
	return uint32(at)
}

func (a *assembler) encode(key string, value any) ([]byte, error) {
	switch key {
	case "text":
		text, _ := value.(string)
		return []byte(text), nil
	case "hex":
		text, _ := value.(string)
		return hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	case "size":
		n, _ := number(value)
		return []byte(strings.Repeat("x", int(n))), nil
	case "json":
		return json.Marshal(value)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return a.encoding(key, text)
}
