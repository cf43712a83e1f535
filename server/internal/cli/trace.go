package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) traceCommand() *cobra.Command {
	var archive string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "trace INVOCATION",
		Short: "Show what an invocation did: its fetches, when and how long, and the budget it used",
		Long: "Show what an invocation did, by the id that its answer had in Sortie-Invocation: its fetches in the order of their beginning, with\n" +
			"what each spent its time on, and the budget used. A server keeps the reports of the last few thousand invocations.\n" +
			"With --har also write an HTTP Archive, which browsers' network panels open.",
		Example: "  sortie trace 1f0c6de2a4b94c7f8d3e5a6b7c8d9e0f\n  sortie trace 1f0c6de2a4b94c7f8d3e5a6b7c8d9e0f --har prices.har",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !isInvocation(args[0]):
				return misuse("%s is not an invocation's id: an answer has its own in the header Sortie-Invocation", args[0])
			case cmd.Flags().Changed("har") && archive == "":
				return misuse("--har is empty: name a file, or - for standard output")
			case archive == "-" && asJSON:
				return misuse("--har - and --json both write to standard output: give --har a file")
			}
			return a.trace(cmd.Context(), args[0], archive, asJSON)
		},
	}
	cmd.Flags().StringVar(&archive, "har", "", "write an HTTP Archive to `FILE`; - is standard output, and nothing else goes there then")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// isInvocation reports whether text can be an id, which becomes a part of a path.
func isInvocation(text string) bool {
	const most = 64
	return text != "" && len(text) <= most && strings.Trim(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == ""
}

func (a *app) trace(ctx context.Context, id, archive string, asJSON bool) error {
	server, err := a.connect()
	if err != nil {
		return err
	}
	path := "/v1/invocations/" + id
	if archive != "" {
		har, err := server.call(ctx, http.MethodGet, path, url.Values{"format": {"har"}}, "", nil)
		if err != nil {
			return err
		}
		if archive == "-" {
			_, err := a.stdout.Write(escaped(har))
			return err
		}
		if err := writeFile(archive, har); err != nil {
			return fmt.Errorf("--har %s: %w", archive, err)
		}
		a.note("wrote %s", archive)
	}
	answer, err := server.call(ctx, http.MethodGet, path, nil, "", nil)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(json.RawMessage(answer))
	}
	var report traced
	if err := server.decode(answer, &report); err != nil {
		return err
	}
	return a.printTrace(&report)
}

// writeFile writes a file that only its owner may read, whole or not at all. What isn't a regular file, such as /dev/null or a pipe,
// is written to as it is.
func writeFile(name string, data []byte) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(name, data, 0o600)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".sortie-*") // CreateTemp gives it mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
