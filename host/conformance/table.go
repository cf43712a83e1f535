package conformance

import (
	"fmt"
	"strings"
)

// Column is what all vectors came to on one target. Results have the order of [Vectors].
type Column struct {
	Name    string
	Results []Result
}

// Table writes hosts × vectors as Markdown: how many of each class pass, and behind that what became of each.
func Table(columns []Column) string {
	var out strings.Builder
	rows := columns[0].Results
	fmt.Fprintf(&out, "# Conformance\n\n%d vectors. Of a host that does otherwise for a documented reason, what must hold there instead was checked, unless the "+
		"vector was left out.\n\n", len(rows))
	heading(&out, "class | vectors", columns)
	var classes []string
	for _, r := range rows {
		if len(classes) == 0 || classes[len(classes)-1] != r.Class {
			classes = append(classes, r.Class)
		}
	}
	for _, class := range append(classes, "") {
		n := 0
		for _, r := range rows {
			if r.in(class) {
				n++
			}
		}
		name := class
		if class == "" {
			name = "all"
		}
		fmt.Fprintf(&out, "| %s | %d |", name, n)
		for _, c := range columns {
			fmt.Fprintf(&out, " %s |", c.summary(class))
		}
		out.WriteByte('\n')
	}
	for _, class := range classes {
		fmt.Fprintf(&out, "\n## %s\n\n", class)
		heading(&out, "vector", columns)
		for i, r := range rows {
			if r.Class != class {
				continue
			}
			fmt.Fprintf(&out, "| %s |", r.Vector)
			for _, c := range columns {
				fmt.Fprintf(&out, " %s |", c.Results[i].cell())
			}
			out.WriteByte('\n')
		}
	}
	return out.String()
}

func heading(out *strings.Builder, first string, columns []Column) {
	fmt.Fprintf(out, "| %s |", first)
	for _, c := range columns {
		fmt.Fprintf(out, " %s |", c.Name)
	}
	fmt.Fprintf(out, "\n|%s\n", strings.Repeat(" --- |", strings.Count(first, "|")+1+len(columns)))
}

func (r *Result) in(class string) bool { return class == "" || r.Class == class }

// summary counts the results of a class; "": of all.
func (c *Column) summary(class string) string {
	var passed, otherwise, skipped, failed int
	for _, r := range c.Results {
		switch {
		case !r.in(class) || !r.Ran:
		case r.Skipped:
			skipped++
		case r.Failed:
			failed++
		case r.Reason != "":
			otherwise++
		default:
			passed++
		}
	}
	text := fmt.Sprintf("%d pass", passed)
	for _, more := range []struct {
		n    int
		what string
	}{{otherwise, "documented"}, {skipped, "left out"}, {failed, "**fail**"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

func (r *Result) cell() string {
	switch {
	case !r.Ran:
		return "not run"
	case r.Skipped:
		return "left out: " + r.Reason
	case r.Failed:
		return "**fail**"
	case r.Reason != "":
		return r.Reason
	}
	return "pass"
}
