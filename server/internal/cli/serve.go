package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
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
			"process.drain says. A second signal ends it at once.\n\n" +
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
			return a.serve(cmd.Context(), operator, attached{})
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
	if operator.AdminAddr != "" {
		return nil, errors.New("admin_addr is set, but this release serves everything on one address: leave it out, and keep /v1 from the public in front")
	}
	return operator, nil
}

// running is a started server, for what goes on beside it.
type running struct {
	base  string // http://host:port where it can be reached from this machine
	token string // the admin's; "": open
	data  string
}

// attached is what a command adds to the server that it runs. The zero value adds nothing.
type attached struct {
	around  func(http.Handler) http.Handler      // wraps what the server answers
	beside  func(context.Context, running) error // called when the server answers, which goes on when it returns nil
	drained func(context.Context)                // called when no invocation runs any more, while the server still answers
}

// serve runs the server until ctx ends, and then drains it.
func (a *app) serve(ctx context.Context, operator *manifest.Operator, with attached) error {
	token := a.getenv("SORTIE_ADMIN_TOKEN")
	if err := server.CheckBind(operator.Addr, token); err != nil {
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
	listener, err := listen(ctx, operator.Addr)
	if err != nil {
		return err
	}
	s := &service{operator: operator, log: log, listener: listener, with: with}
	if err := s.open(ctx, data, token, a); err != nil {
		return errors.Join(err, s.close(context.WithoutCancel(ctx)))
	}
	a.announce(listener, data, token)
	now := running{base: "http://" + reachable(listener.Addr()), token: token, data: data}
	failed := s.start()
	if with.beside != nil {
		if err := with.beside(ctx, now); err != nil {
			return errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("the listener failed: %w", err), s.close(context.WithoutCancel(ctx)))
	case <-ctx.Done():
	}
	drain := time.Duration(operator.Process.Drain)
	a.note("finishing what runs, for %s at most; a second signal ends at once", drain)
	return s.shutdown(context.WithoutCancel(ctx), drain)
}

// announce tells a person what is served.
func (a *app) announce(listener net.Listener, data, token string) {
	a.note("sortie %s, data in %s", buildVersion(), data)
	if token == "" {
		a.note("open: whoever reaches this address can deploy and call plugins; set SORTIE_ADMIN_TOKEN to ask for a token")
	}
	// The line that scripts wait for: the address is the one in force, whatever port was asked for.
	a.note("listening on http://%s", listener.Addr())
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
	operator *manifest.Operator
	log      *slog.Logger
	listener net.Listener
	with     attached
	http     *http.Server
	server   *server.Server
	runtime  *host.Runtime
	engine   *fetch.Engine
	store    *files.Store
	ballast  []byte
}

// open makes everything that the server needs, in data.
func (s *service) open(ctx context.Context, data, token string, a *app) error {
	secrets, err := a.secretValues(s.operator)
	if err != nil {
		return err
	}
	s.ballast = ballast(int64(s.operator.Process.Memory))
	if s.store, err = files.Open(filepath.Join(data, "store")); err != nil {
		return err
	}
	if s.engine, err = newEngine(s.operator); err != nil {
		return err
	}
	s.runtime, err = host.New(ctx, host.Config{
		CacheDir: filepath.Join(data, "cache"), Engine: s.engine, Operator: s.operator, Secrets: secrets, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.server, err = server.New(ctx, server.Deps{
		Runtime: s.runtime, Store: s.store, Operator: s.operator, Log: s.log, Build: buildVersion(), AdminToken: token,
	})
	if err != nil {
		return err
	}
	s.http = s.httpServer()
	return nil
}

// httpServer is what every command puts between its listener and the server.
func (s *service) httpServer() *http.Server {
	handler := http.Handler(s.server)
	if s.with.around != nil {
		handler = s.with.around(handler)
	}
	return server.HTTPServer(handler, s.log)
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

// start serves; the channel gets the error if the listener fails.
func (s *service) start() <-chan error {
	failed := make(chan error, 1)
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return failed
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
		err = s.http.Shutdown(inTime)
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
	var errs []error
	if s.http != nil {
		errs = append(errs, s.http.Close())
	}
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		errs = append(errs, err)
	}
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
