// Package server is Sortie's HTTP server: plugins are deployed to it, and called through it.
//
//	st, err := files.Open(dir)
//	s, err := server.New(ctx, server.Deps{Runtime: rt, Store: st, Operator: op, Log: log, Build: "v1.2.3", AdminToken: token})
//	err = server.CheckBind(addr, s.Open())
//	h := server.HTTPServer(s, log)
//	go h.Serve(listener)
//	…
//	err = s.Drain(ctx)    // /readyz turns 503, new invocations are refused, running ones finish
//	err = h.Shutdown(ctx)
//	err = s.Close(ctx)    // then close the Runtime and the Store, in this order
//
// # What it answers
//
// openapi.yaml, served at /openapi.yaml, describes every address. Plugins are deployed, listed and removed below /v1, and
// called at /p/NAME and /p/NAME/any/path with any method. Whatever fails is a Problem (RFC 9457) whose code is also in the
// header Sortie-Error, which a plugin can't set: so a client tells our failures from a plugin's own answers. Only what net/http
// itself refuses, a request that isn't HTTP or a head that is too large, is answered as plain text.
//
// # Who may call it
//
// /v1 and plugins need `Authorization: Bearer TOKEN`, or Sortie-Authorization where Authorization is meant for the plugin. A token has a role,
// each of which includes those before it, and name patterns of the plugins that it is for:
//
//	invoke   calls plugins
//	read     looks at them: versions, logs, reports, audit log; and pins versions
//	deploy   deploys, removes, and moves traffic
//	admin    all plugins, tokens and secrets
//
// The AdminToken is an admin's that isn't stored. A plugin with `access: public` in its manifest needs no token if the operator consents for
// its name; pinning one of its versions still does. With no AdminToken, and no token ever created, the server is open. CheckBind
// then lets it listen on loopback only, and it refuses what a browser could be tricked into: names other than localhost, and changes
// by pages of other origins.
//
// # Changes
//
// Every change, and who made it, is in the audit log (/v1/audit). Changes of a plugin happen one after the other; one that says If-Match with
// the plugin's ETag happens only if nothing came between. Traffic moves only to versions that are loaded, and have answered their smoke
// request if they have one; the invocations that run on others go on to their end.
//
// # Whose modules are taken
//
// With signatures.keys in the operator's configuration, a minisign signature that comes with a module must be by one of those keys; with
// signatures.required, one must come. It's checked when a module is deployed, not when a version is loaded or takes traffic again.
//
// # Secrets
//
// The host puts them into plugins' fetches; nobody can read them here. The operator's configuration has them in the environment or in files,
// which are read again when they change; others are set at /v1/secrets, and sealed with the Key in the store. They can be changed while
// plugins run: fetches that begin afterwards have the new ones, and fail where they need one that was removed.
//
// # The console
//
// / is a page that does in a browser what the sortie command does: it deploys, moves traffic, calls plugins, shows reports and follows logs. It's
// package console's, and static: everybody gets it, and all that it shows it asks /v1 for with the token that its user enters.
//
// # Plugins are not the console
//
// Plugins and the server share an origin, so every answer below /p/ carries a sandboxing Content-Security-Policy, cookies are confined to
// the plugin's path, and header fields that speak for the whole origin, such as Clear-Site-Data, are dropped.
//
// Where a manifest has `cors`, the server answers preflights itself, without a token, and says of every answer which pages may read it.
//
// # Proxies and listeners
//
// Where a request came from, and by what address, is what the connection tells. X-Forwarded-For, -Proto and -Host count only if they come
// from one of trusted_proxies. Plugins and Admin are the two halves of a Server, for listeners of their own.
//
// # What can be seen afterwards
//
// The reports of the last invocations and the last lines of every plugin are kept in memory, each within a budget of bytes that
// plugins share: whoever has most loses its oldest first. They go with their plugin, and with the process. A client that follows a log reads
// at its own pace, and is told what it missed.
//
// # What clients can hold
//
// The bodies of requests, deploys and answers, and the runtime's guests, may have process.memory bytes together. Bodies count as they come and
// until they are delivered, and one for which there is no room is answered with `overloaded`. None may stand still for 30 s or, after
// its first 30 s, be slower than 64 KiB/s on average: an answer is cut off then, a request answered with limit_wall.
//
// # Overload
//
// What the host would refuse is answered with `overloaded` and a Retry-After before its body is read. It has no report, and no line in the log:
// Stats of the Runtime counts it.
//
// # Streams
//
// A plugin may write its answer, and read its request's body, piece by piece. Each direction counts for 64 KiB then, however much
// goes through it. A streamed answer may be silent for as long as limits.stream lets it; it's only while a piece is on its way that
// the client is timed. A failure after the head resets the connection.
//
// A client that goes away ends its invocation. While there is a body to be read that the plugin hasn't asked for, an HTTP/1 connection
// shows that on Linux only, and for servers made by HTTPServer.
package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/internal/sealed"
	"github.com/sortie-run/sortie/server/store"
)

// Deps is what a server is made of. All of it stays the caller's to close, after the server.
type Deps struct {
	Runtime    *host.Runtime      // required
	Store      store.Store        // required
	Operator   *manifest.Operator // nil: manifest.DefaultOperator()
	Log        *slog.Logger       // nil: discarded
	Build      string             // what this program is, for people; "": "devel"
	Key        *sealed.Key        // seals the secrets that the server is given; nil: it takes none
	UsageFile  string             // keeps what plugins have used of their quotas over a restart; "": nothing does
	AdminToken string             // "": there are only those that were created, or none is needed; see CheckBind

	LookupEnv func(name string) (string, bool) // for the operator's secrets; nil: os.LookupEnv
}

// Server is an http.Handler. Make one with New.
type Server struct {
	echo           *echo.Echo
	runtime        *host.Runtime
	plugins        *registry
	settings       atomic.Pointer[settings]
	store          store.Store
	log            *slog.Logger
	build          string
	tokens         *tokens
	secrets        *secrets
	crossOrigin    *http.CrossOriginProtection
	running        gate         // invocations and changes
	memory         *host.Memory // for their bodies, and for the guests
	reports        *reports     // of the last invocations
	logs           *logs        // their lines
	changes        changeRates  // of those who change plugins
	backups        backups
	metrics        *metrics
	usage          *usage // of plugins with a quota
	metricsHandler http.Handler
	background     sync.WaitGroup
	stop           context.CancelFunc
}

// New makes a server of what the store holds. Modules are loaded when they're first called, so one that can't be loaded any
// more stops neither the server nor the others. It fails if the store can't be listed.
func New(ctx context.Context, d Deps) (*Server, error) {
	if d.Runtime == nil || d.Store == nil {
		return nil, errors.New("server: Deps.Runtime and Deps.Store are required")
	}
	return newServer(ctx, d, func(ctx context.Context, src host.Source) (guest, error) {
		p, err := d.Runtime.Load(ctx, src)
		if err != nil {
			return nil, err // not (*host.Plugin)(nil), which wouldn't be a nil guest
		}
		return p, nil
	})
}

func newServer(ctx context.Context, d Deps, load loader) (*Server, error) {
	if d.Operator == nil {
		d.Operator = manifest.DefaultOperator()
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Build == "" {
		d.Build = "devel"
	}
	now, err := newSettings(d.Operator)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	plugins, err := newRegistry(ctx, d, load)
	if err != nil {
		stop()
		return nil, err
	}
	tokens, err := newTokens(ctx, d.AdminToken, d.Store, d.Log)
	if err != nil {
		stop()
		return nil, err
	}
	usage, err := newUsage(d.UsageFile)
	if err != nil {
		stop()
		return nil, err
	}
	secrets, err := newSecrets(ctx, d)
	if err != nil {
		stop()
		return nil, err
	}
	plugins.known = secrets.known.Load
	s := &Server{
		runtime: d.Runtime, usage: usage, secrets: secrets, plugins: plugins, store: d.Store, log: d.Log, build: d.Build, tokens: tokens,
		crossOrigin: http.NewCrossOriginProtection(), memory: budget(d),
		stop:    stop,
		reports: newReports(reportBytes, reportCount), logs: newLogs(func(name string) bool { return plugins.find(name) != nil }),
	}
	plugins.removed = func(name string) {
		s.reports.forget(name)
		s.logs.forget(name)
		s.metrics.forget(name)
	}
	s.settings.Store(now)
	s.metrics = newMetrics(d.Build, s.stats)
	s.metricsHandler = metricsHandler(s.metrics)
	s.background.Go(func() {
		usage.run(ctx, func(err error) { s.log.Error("usage not kept", "err", err) })
	})
	s.background.Go(func() { secrets.watch(ctx) })
	plugins.pruned = s.metrics.forgetVersion
	plugins.asked = func(name string, t *terms) error { return s.usage.enter(name, t.quota) }
	plugins.smoked = func(v *version, t *terms, report *host.Report) {
		if report == nil {
			return
		}
		s.usage.spent(v.plugin, t.quota, report)
		s.logs.add(v, report.ID, report.Logs)
		s.reports.add(v, report)
		s.metrics.count(v, report)
	}
	s.echo = s.routes(everySide)
	return s, nil
}

// stats are the runtime's figures of now.
func (s *Server) stats() host.Stats {
	if s.runtime == nil {
		return host.Stats{}
	}
	return s.runtime.Stats()
}

// Open reports whether everyone may do everything, because there is no token.
func (s *Server) Open() bool { return s.tokens.open() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Drain makes /readyz answer 503 and refuses new invocations and deploys with `draining`, then waits until those that run
// have ended, or ctx has: its error is returned then. Everything else is still answered, but who follows a log is told that it ends.
func (s *Server) Drain(ctx context.Context) error {
	s.log.Info("draining")
	err := s.running.close(ctx)
	s.logs.close() // not before: followers still get the lines of what was running
	return err
}

// Close drains the server, and gives back what its plugins hold. When ctx ends before that is done, its error is returned.
func (s *Server) Close(ctx context.Context) error {
	err := s.running.close(ctx)
	s.logs.close()
	s.stop()
	s.background.Wait()
	return errors.Join(err, s.usage.keep(), s.plugins.close(ctx))
}

// HTTPServer returns an http.Server for h with the limits a server on the network needs: 10 s for a request's head of at most
// 64 KiB, 2 min for an idle connection. Bodies are limited where they're read, so there is no limit of whole requests. The Server finds
// its connections in requests' contexts. What net/http complains about goes to log, at the level debug; nil discards it.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
	}
}

func newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard) // whatever fails comes to frame
	return e
}
