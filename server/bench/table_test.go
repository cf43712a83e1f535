package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestTables holds that a report tells what was measured, what failed and what was left out.
func TestTables(t *testing.T) {
	t.Parallel()
	r := &report{
		Command: "make bench", Begun: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Machine: map[string]string{"cores": "2", "system": "linux/amd64", "Go": "go1.26"},
		Entered: []entrant{{Name: yardstick, Title: "native Go"}, {Name: "sortie", Title: "Sortie"}, {Name: "extism", Title: "Extism SDK"}},
		LeftOut: []entrant{{Name: "workerd", Title: "workerd", Reason: "npm isn't there"}},
	}
	s := r.add("fan-10", "10 × 20 ms", "ms")
	s.cell(yardstick).Time = []float64{20, 40, 21}
	s.cell("sortie").Time = []float64{30, 60, 31.5}
	s.cell("sortie").CPU = []float64{1, 2, 3}
	s.cell("extism").Failed = "status 500: trap"
	r.finish()
	var text bytes.Buffer
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	var document strings.Builder
	r.markdown(&document)
	for what, got := range map[string]string{"text": text.String(), "Markdown": document.String()} {
		for _, want := range []string{
			"1 = 21.0 ms", "×1.50 [1.50–1.50]", "failed: Extism SDK, 10 × 20 ms: status 500: trap", "left out: workerd: npm isn't there", "2.00 ms", "2 cores",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is missing in\n%s", what, want, got)
			}
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0.0123: "0.012", 0.25: "0.25", 1.5: "1.50", 9.996: "10.0", 12.34: "12.3", 99.96: "100", 1234.5: "1234"} {
		if got := number(v); got != want {
			t.Errorf("number(%g) = %q, want %q", v, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--only", "fan-11"}, 2, "fan-10-busy"},
		{[]string{"--skip", "native"}, 2, "can't be left out"},
		{[]string{"compare", "more"}, 2, "unexpected argument"},
		{[]string{"load", "--phases", "x"}, 2, "phase"},
		{[]string{"--help"}, 0, "-quick"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), test.args, strings.NewReader(""), &out, &errs)
		if code != test.code || !strings.Contains(errs.String(), test.says) {
			t.Errorf("%v: exit status %d, %q", test.args, code, errs.String())
		}
	}
}
