// Package server is Sortie's HTTP server: plugins are deployed to it, and called through it.
//
//	st, err := files.Open(dir)
//	s, err := server.New(ctx, server.Deps{Runtime: rt, Store: st, Operator: op, Log: log, Build: "v1.2.3", AdminToken: token})
//	err = server.CheckBind(addr, token)
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
// With an AdminToken, /v1 and plugins need `Authorization: Bearer TOKEN`, or Sortie-Authorization where Authorization is
// meant for the plugin. A plugin with `access: public` in its manifest needs none if the operator consents for its name;
// pinning one of its versions still does. Without an AdminToken the server is open. CheckBind then lets it listen on loopback only, and
// it refuses what a browser could be tricked into: names other than localhost, and changes by pages of other origins.
//
// # Plugins are not the console
//
// Plugins and the server share an origin, so every answer below /p/ carries a sandboxing Content-Security-Policy, cookies are confined to
// the plugin's path, and header fields that speak for the whole origin, such as Clear-Site-Data, are dropped.
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

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store"
)

// Deps is what a server is made of. All of it stays the caller's to close, after the server.
type Deps struct {
	Runtime    *host.Runtime      // required
	Store      store.Store        // required
	Operator   *manifest.Operator // nil: manifest.DefaultOperator()
	Log        *slog.Logger       // nil: discarded
	Build      string             // what this program is, for people; "": "devel"
	AdminToken string             // "": no token is needed; see CheckBind
}

// Server is an http.Handler. Make one with New.
type Server struct {
	echo        *echo.Echo
	plugins     *registry
	operator    *manifest.Operator
	store       store.Store
	log         *slog.Logger
	build       string
	tokens      tokens
	crossOrigin *http.CrossOriginProtection
	running     gate          // invocations and changes
	memory      *host.Memory  // for their bodies, and for the guests
	reports     *reports      // of the last invocations
	logs        *logs         // their lines
	deploys     chan struct{} // a place for each deploy that may be carried out at once
	stop        context.CancelFunc
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
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	plugins, err := newRegistry(ctx, d, load)
	if err != nil {
		stop()
		return nil, err
	}
	s := &Server{
		plugins: plugins, operator: d.Operator, store: d.Store, log: d.Log, build: d.Build, tokens: newTokens(d.AdminToken),
		crossOrigin: http.NewCrossOriginProtection(), memory: budget(d),
		deploys: make(chan struct{}, deploys), stop: stop,
		reports: newReports(reportBytes, reportCount), logs: newLogs(func(name string) bool { return plugins.find(name) != nil }),
	}
	plugins.removed = func(name string) {
		s.reports.forget(name)
		s.logs.forget(name)
	}
	s.echo = s.routes()
	return s, nil
}

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
	return errors.Join(err, s.plugins.close(ctx))
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
