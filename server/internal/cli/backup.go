package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/server/store/files"
)

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE.tar",
		Short: "Write all that a server keeps to a file",
		Long: "Write all that the server at SORTIE_SERVER keeps to a file, as it is at one moment: plugins with their versions and traffic, what is known of\n" +
			"tokens, sealed secrets, the audit log. Changes go on meanwhile. `-` is stdout.\n\n" +
			"The key that secrets are sealed with isn't in it: keep that elsewhere.",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := a.connect()
			if err != nil {
				return err
			}
			return a.backup(cmd.Context(), server, args[0])
		},
	}
}

func (a *app) backup(ctx context.Context, server *api, path string) error {
	if path == "-" {
		_, err := server.download(ctx, "/v1/backup", a.stdout)
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s is there already: choose another name, or remove it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // unless it was renamed
	size, err := server.download(ctx, "/v1/backup", f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s  %s\n", path, bytesText(size))
	return err
}

// download writes the answer to a GET to w, however large it is. An answer that is cut off is an error.
func (c *api) download(ctx context.Context, path string, w io.Writer) (int64, error) {
	req, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return 0, err
	}
	endless := *c.http
	endless.Timeout = 0
	res, err := endless.Do(req)
	if err != nil {
		return 0, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return 0, c.unreachable(ctx, err)
		}
		return 0, c.problem(res, answer)
	}
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, fmt.Errorf("the backup was cut off after %s: %w", bytesText(n), err)
	}
	return n, nil
}

func (a *app) restoreCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "restore FILE.tar",
		Short: "Make a data folder of a backup, for a server to be started on",
		Long: "Make a data folder of a backup, for a server to be started on. The folder mustn't hold a store already. All of the backup is checked, each module by its\n" +
			"digest, before it takes its place. `-` is stdin. The key that secrets are sealed with goes where it was: SORTIE_SECRETS_KEY, or secrets.key in the folder.",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := a.dataDir(data)
			if err != nil {
				return err
			}
			in := io.NopCloser(a.stdin)
			if args[0] != "-" {
				if in, err = os.Open(args[0]); err != nil {
					return err
				}
			}
			defer in.Close()
			if err := files.Restore(cmd.Context(), filepath.Join(dir, "store"), in); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "restored to %s; next: sortie serve --data %s\n", dir, dir)
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "make it in `DIR` (default the user's data folder)")
	return cmd
}
