package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is a command used wrongly: exit status 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misuse(format string, args ...any) error { return &usageError{text: fmt.Sprintf(format, args...)} }

// statusError ends the command with a status when everything has been said already.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// takes allows between least and most arguments.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return misuse("%s needs more arguments; usage: %s", cmd.Name(), cmd.UseLine())
		case len(args) > most:
			return misuse("%s takes no argument %q; usage: %s", cmd.Name(), args[most], cmd.UseLine())
		}
		return nil
	}
}

// checkCommand looks at the command's name before cobra does, whose own message runs over several lines, and which would first
// complain of the flags that follow.
func checkCommand(root *cobra.Command, args []string) error {
	if len(args) > 1 && args[0] == "help" {
		args = args[1:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	var names []string
	for _, command := range root.Commands() {
		names = append(names, command.Name())
	}
	if slices.Contains(names, args[0]) {
		return nil
	}
	if near := nearest(args[0], names); near != "" {
		return misuse("unknown command %q; did you mean %q?", args[0], near)
	}
	return misuse("unknown command %q; `sortie help` lists them", args[0])
}

// flagError is cobra's hook for what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		var names []string
		cmd.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
		if near := nearest(missing.GetSpecifiedName(), names); near != "" {
			return misuse("%v; did you mean --%s?", err, near)
		}
	}
	return misuse("%v; usage: %s", err, cmd.UseLine())
}

// nearest returns the candidate that a typist most likely meant, "" if none is close.
func nearest(typed string, candidates []string) string {
	best, bound := "", max(1, len(typed)/3)
	for _, candidate := range candidates {
		if d := distance(typed, candidate); d <= bound {
			best, bound = candidate, d-1
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
