package host

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/internal/abi"
	"github.com/sortie-run/sortie/host/internal/rewrite"
	"github.com/sortie-run/sortie/host/manifest"
)

// wasm builds a module from sections, each with its id in front.
func wasm(sections ...string) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range sections {
		b = append(b, s[0])
		b = append(b, size(len(s)-1)...)
		b = append(b, s[1:]...)
	}
	return b
}

func size(n int) string {
	if n < 0x80 {
		return string(rune(n))
	}
	return string([]byte{byte(n) | 0x80}) + size(n>>7)
}

func str(s string) string { return size(len(s)) + s }

func importing(module, name string) string { return "\x02\x01" + str(module) + str(name) + "\x00\x00" }

const (
	aType   = "\x01\x01\x60\x00\x00"
	runs    = "\x07\x01\x03run\x00\x00"
	aBody   = "\x0a\x01\x02\x00\x0b"
	declare = "\x03\x01\x00"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 1000)
	short := strings.Repeat("é", 100) + "…"
	for name, tc := range map[string]struct {
		wasm []byte
		want string // "": taken
	}{
		"plain":      {wasm(aType, declare, runs, aBody), ""},
		"references": {wasm(aType, declare, runs, "\x0a\x01\x05\x00\xd2\x00\x1a\x0b"), ""},
		"kept references": {wasm(aType, declare, "\x07\x02\x03run\x00\x00"+str("sortie:a")+"\x00\x00", "\x0a\x01\x05\x00\xd2\x00\x1a\x0b"),
			"the module's code refers to functions (ref.func), which"},
		"table":            {wasm(aType, declare, "\x04\x01\x70\x00\x80\x80\x08", runs, aBody), ""}, // 131,072
		"table too large":  {wasm(aType, declare, "\x04\x01\x70\x00\x81\x80\x08", runs, aBody), "131073 entries of 8 bytes, limits.memory is 1MiB"},
		"tables too large": {wasm(aType, declare, "\x04\x02\x70\x00\x80\x80\x04\x70\x00\x81\x80\x04", runs, aBody), "131073 entries of 8 bytes"},
		"huge tables":      {wasm(aType, declare, "\x04\x04"+strings.Repeat("\x70\x00\x80\xc2\xd7\x2f", 4), runs, aBody), "the bound is 1000000"},
		"imported table":   {wasm("\x02\x01" + str("m") + str("t") + "\x01\x70\x00\x01"), "the module imports the table m.t"},
		"memory":           {wasm("\x05\x01\x00\x11"), "the module needs 17 pages of 64 KiB to start, limits.memory is 1MiB"},
		"no entry":         {wasm(aType, declare, "\x07\x01"+str(long)+"\x00\x00", aBody), "it exports " + short},
		"import":           {wasm(aType, importing(long, long)), "the module imports " + short + "." + short + "; a plugin can import"},
		"other kind":       {wasm(aType, "\x02\x01"+str(long)+str(long)+"\x03\x7f\x00"), "imports the global " + short + "." + short + ";"},
		"newer":            {wasm(aType, importing(abi.Namespace, long)), abi.Namespace + "." + short + ", which"},
		"other ABI":        {wasm(aType, importing(abi.Prefix+long, "f")), "Sortie's ABI " + short + "; this"},
		"control":          {wasm(aType, importing("a\nb\x1b[1m", "f")), "imports a\ufffdb\ufffd[1m.f;"},
	} {
		m := &manifest.Manifest{Entry: "run"}
		m.Limits.Memory = 1 << 20
		_, out, err := inspect(tc.wasm, m, "")
		if tc.want == "" {
			if err != nil || len(out.Wasm) == 0 {
				t.Errorf("%s: refused: %v", name, err)
			}
			continue
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeInvalidWasm || !strings.Contains(e.Detail, tc.want) || len(e.Detail) > 700 {
			t.Errorf("%s: got %v, want …%s…", name, err, tc.want)
		}
	}
}

// TestInspectCapsTables checks that what inspect returns can't grow its tables past the plugin's memory limit.
func TestInspectCapsTables(t *testing.T) {
	t.Parallel()
	for memory, want := range map[manifest.Bytes]uint64{1 << 20: 1 << 17, 1 << 30: rewrite.MaxTableEntries} {
		m := &manifest.Manifest{Entry: "run"}
		m.Limits.Memory = memory
		_, out, err := inspect(wasm(aType, declare, "\x04\x01\x70\x00\x01", runs, aBody), m, "")
		if err != nil {
			t.Fatal(err)
		}
		again, err := rewrite.Parse(out.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(again.Tables[0].Limits); got != fmt.Sprint(rewrite.Limits{Min: 1, Max: want, HasMax: true}) {
			t.Errorf("with %d of memory the table's limits are %s", memory, got)
		}
	}
}
