package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server"
	"github.com/sortie-run/sortie/server/store/files"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	addr, data, config string
	demo               bool
}

func (a *app) serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server, until SIGINT or SIGTERM: it then refuses new invocations and finishes the running ones for as long as\n" +
			"process.drain says. A second signal ends it at once. When the --config file changes, and on SIGHUP, the configuration is read again; the log\n" +
			"says what of it counts only from the next start.\n\n" +
			"A setting is taken from its flag, else the environment (SORTIE_ADDR, SORTIE_PROCESS__PER_ORIGIN, …), else the file, else PORT,\n" +
			"else its default. On a loopback address without SORTIE_ADMIN_TOKEN the server is open to this machine; elsewhere it needs one.\n\n" +
			"--demo serves ready-made plugins over an upstream of its own, in a data folder of its own, and prints calls to try.",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("addr") {
				if err := checkAddr(cmd.Context(), o.addr); err != nil {
					return err
				}
			}
			if o.demo {
				return a.serveDemo(cmd.Context(), o)
			}
			operator, err := a.serveConfig(o)
			if err != nil {
				return err
			}
			again := &reloading{file: o.config, read: func() (*manifest.Operator, error) { return a.serveConfig(o) }}
			return a.serve(cmd.Context(), operator, attached{reload: again})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.addr, "addr", "", "listen on `host:port`; port 0 is any free one (default 127.0.0.1:8080)")
	flags.StringVar(&o.data, "data", "", "keep data in `DIR` (default the user's data folder)")
	flags.StringVar(&o.config, "config", "", "read the operator's configuration, sortie.yaml, from `FILE`")
	flags.BoolVar(&o.demo, "demo", false, "serve the demo")
	return cmd
}

// serveConfig puts the configuration together: flag, environment, file, PORT, default.
func (a *app) serveConfig(o serveOptions) (*manifest.Operator, error) {
	operator, err := a.operator(o.config)
	if err != nil {
		return nil, err
	}
	// What run takes secrets from isn't the server's: every other SORTIE_ variable must be a key of the configuration.
	env := slices.DeleteFunc(slices.Clone(a.env), func(entry string) bool { return strings.HasPrefix(entry, secretPrefix) })
	if err := operator.ApplyEnv(env); err != nil {
		return nil, err
	}
	if o.addr != "" {
		operator.Addr = o.addr
	}
	if o.data != "" {
		operator.Data = o.data
	}
	return operator, nil
}

// forOne is the configuration for a server that one person tries things with on this machine: plain HTTP, at one address, and what they
// built themselves needs nobody's signature.
func forOne(operator *manifest.Operator) {
	operator.TLS, operator.AdminAddr, operator.Signatures = manifest.TLS{}, "", manifest.Signatures{}
}

// running is a started server, for what goes on beside it.
type running struct {
	base  string // scheme://host:port where plugins can be called from this machine
	token string // the admin's; "": open
	data  string
}

// attached is what a command adds to the server that it runs. The zero value adds nothing.
type attached struct {
	around  func(http.Handler) http.Handler      // wraps what the server answers
	beside  func(context.Context, running) error // called when the server answers, which goes on when it returns nil
	drained func(context.Context)                // called when no invocation runs any more, while the server still answers
	reload  *reloading                           // reads the configuration again; nil: it stays as it is
}

// serve runs the server until ctx ends, and then drains it.
func (a *app) serve(ctx context.Context, operator *manifest.Operator, with attached) error {
	token := a.getenv("SORTIE_ADMIN_TOKEN")
	if err := server.CheckBind(operator.Addr, false); err != nil { // whether it may be there is known when the tokens are
		return err
	}
	log, err := a.logger(operator.Log)
	if err != nil {
		return err
	}
	data, err := a.dataDir(operator.Data)
	if err != nil {
		return err
	}
	s := &service{operator: operator, log: log, with: with}
	err = s.listen(ctx)
	if err == nil {
		err = s.open(ctx, data, token, a)
	}
	if err == nil {
		err = s.checkBind() // nothing has been served yet
	}
	if err != nil {
		return errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	a.announce(s, data)
	now := running{base: s.url(s.public), token: token, data: data}
	failed := s.start()
	if with.beside != nil {
		if err := with.beside(ctx, now); err != nil {
			return errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}
	reloads, stop := context.WithCancel(ctx)
	var reloading sync.WaitGroup
	if with.reload != nil {
		reloading.Go(func() { with.reload.run(reloads, s) })
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop()
	reloading.Wait()
	if err != nil {
		return errors.Join(fmt.Errorf("the listener failed: %w", err), s.close(context.WithoutCancel(ctx)))
	}
	drain := time.Duration(operator.Process.Drain)
	a.note("finishing what runs, for %s at most; a second signal ends at once", drain)
	return s.shutdown(context.WithoutCancel(ctx), drain)
}

// announce tells a person what is served.
func (a *app) announce(s *service, data string) {
	a.note("sortie %s, data in %s", buildVersion(), data)
	if s.server.Open() {
		a.note("open: whoever reaches this address can deploy and call plugins; set SORTIE_ADMIN_TOKEN, or create a token, to ask for one")
	}
	if s.admin.listener != nil {
		a.note("deploys and everything else below /v1 on %s://%s", s.scheme(), s.admin.listener.Addr())
	}
	// The line that scripts wait for: the address is the one in force, whatever port was asked for.
	a.note("listening on %s://%s", s.scheme(), s.public.listener.Addr())
}

func (a *app) logger(config manifest.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.Level)); err != nil {
		return nil, fmt.Errorf("log.level %q: use debug, info, warn or error", config.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(config.Format, "text") {
		return slog.New(slog.NewTextHandler(a.stderr, options)), nil
	}
	return slog.New(slog.NewJSONHandler(a.stderr, options)), nil
}

// service is the server and what it stands on, in the order in which it is taken down.
type service struct {
	operator    *manifest.Operator
	log         *slog.Logger
	certificate *certificate // nil: plain HTTP
	public      door
	admin       door // where admin_addr is set
	with        attached
	server      *server.Server
	runtime     *host.Runtime
	engine      *fetch.Engine
	store       *files.Store
	ballast     []byte
}

// open makes everything that the server needs, in data.
func (s *service) open(ctx context.Context, data, token string, a *app) error {
	var err error
	s.ballast = ballast(int64(s.operator.Process.Memory))
	if s.store, err = files.Open(filepath.Join(data, "store")); err != nil {
		return err
	}
	key, err := a.secretsKey(data) // after the store, which only one server has
	if err != nil {
		return err
	}
	if s.engine, err = newEngine(s.operator); err != nil {
		return err
	}
	s.runtime, err = host.New(ctx, host.Config{
		CacheDir: filepath.Join(data, "cache"), Engine: s.engine, Operator: s.operator, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.server, err = server.New(ctx, server.Deps{
		Runtime: s.runtime, Store: s.store, Operator: s.operator, Log: s.log, Build: buildVersion(), AdminToken: token,
		UsageFile: filepath.Join(data, "usage.json"), Key: key, LookupEnv: a.lookupEnv,
	})
	if err != nil {
		return err
	}
	s.furnish()
	return nil
}

// newEngine is the fetch engine that the operator's configuration asks for.
func newEngine(operator *manifest.Operator) (*fetch.Engine, error) {
	cfg, err := fetch.ConfigOf(operator)
	if err != nil {
		return nil, err
	}
	cfg.UserAgent = "sortie/" + buildVersion()
	return fetch.New(cfg), nil
}

// shutdown finishes what runs, for as long as drain says, and takes the server down.
func (s *service) shutdown(ctx context.Context, drain time.Duration) error {
	inTime, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	// Drained first, closed after: while invocations finish, /readyz can still be asked, and newcomers are told.
	err := s.server.Drain(inTime)
	if err == nil && s.with.drained != nil {
		s.with.drained(inTime)
	}
	if err == nil {
		err = s.shut(inTime)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("some invocations had not finished after %s and were cut off; process.drain sets the time", drain)
	}
	return errors.Join(err, s.close(ctx))
}

// closeTime bounds what is left to do when nothing runs any more, or what runs has been cut off.
const closeTime = 5 * time.Second

// close takes down what there is; what still runs is cut off.
func (s *service) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	errs := []error{s.closeDoors()}
	if s.server != nil {
		errs = append(errs, s.server.Close(ctx))
	}
	if s.runtime != nil {
		errs = append(errs, s.runtime.Close(ctx))
	}
	if s.engine != nil {
		s.engine.Close()
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}
