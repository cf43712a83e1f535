package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// Codes of the contract's section 6 that only the server gives. The others are the host's.
const (
	codeBadRequest       = "bad_request"
	codeUnauthorized     = "unauthorized"
	codeForbidden        = "forbidden"
	codeNotFound         = "not_found"
	codePluginNotFound   = "plugin_not_found"
	codeVersionNotFound  = "version_not_found"
	codeMethodNotAllowed = "method_not_allowed"
	codeConflict         = "conflict"
	codeMediaType        = "unsupported_media_type"
)

// retryAfter is what clients are told where the error itself says nothing: long enough for a restart behind a balancer.
const retryAfter = time.Second

// titles names each code's kind of problem, whatever the occasion.
var titles = map[string]string{
	codeBadRequest:           "Malformed request",
	codeUnauthorized:         "A token is needed",
	codeForbidden:            "Not allowed",
	codeNotFound:             "Nothing at this address",
	codePluginNotFound:       "No such plugin",
	codeVersionNotFound:      "No such version",
	codeMethodNotAllowed:     "Method not allowed here",
	codeConflict:             "Not as things are now",
	codeMediaType:            "Unsupported media type",
	host.CodeInvalidManifest: "Invalid manifest",
	host.CodeInvalidWasm:     "Invalid WebAssembly module",
	host.CodeRateLimited:     "Too many invocations",
	host.CodePluginError:     "The plugin failed",
	host.CodePluginTrapped:   "The plugin crashed",
	host.CodeLimitInput:      "Request body over the limit",
	host.CodeLimitCPU:        "CPU limit reached",
	host.CodeLimitMemory:     "Memory limit reached",
	host.CodeLimitOutput:     "Response over the limit",
	host.CodeLimitWall:       "Time limit reached",
	host.CodeInternal:        "Internal error",
	host.CodeOverloaded:      "Overloaded",
	host.CodeDraining:        "Shutting down",
	host.CodeCancelled:       "The client went away",
}

// failure says what an error is to the client. This is the one place where errors get their code. What isn't meant for
// clients becomes internal_error, whose detail tells nothing.
func failure(err error) *host.Error {
	var known *host.Error
	var routed *echo.HTTPError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return host.NewError(host.CodeLimitInput, "The body is larger than %d bytes.", tooLarge.Limit)
	case errors.As(err, &routed) && routed.Code == http.StatusNotFound:
		return host.NewError(codeNotFound, "There is nothing at this address; /openapi.yaml describes what there is.")
	case errors.As(err, &routed) && routed.Code == http.StatusMethodNotAllowed:
		return host.NewError(codeMethodNotAllowed, "This address doesn't take that method; the Allow header names those it takes.")
	default:
		e := host.NewError(host.CodeInternal, "The server failed; its log says why, under the invocation's id.")
		e.Err = err
		return e
	}
}

// writeProblem answers with the failure. Nothing of an answer may have been sent yet.
func (s *Server) writeProblem(c echo.Context, err error) {
	e, w := failure(err), c.Response()
	id, status := invocationID(c), host.StatusOf(e.Code)
	body, err := json.Marshal(Problem{
		Type: problemType(e.Code), Title: titles[e.Code], Status: status, Detail: e.Detail, Code: e.Code, Invocation: id,
	})
	if err != nil { // strings and an int can't fail
		panic(err)
	}
	if e.Code == host.CodeInternal {
		s.log.Error("request failed", "invocation", id, "method", c.Request().Method, "path", c.Request().URL.Path,
			"detail", e.Detail, "err", e.Err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set(headerError, e.Code)
	refuseBody(c)
	if status == http.StatusServiceUnavailable || e.RetryAfter > 0 {
		wait := e.RetryAfter
		if wait <= 0 {
			wait = retryAfter
		}
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("problem not delivered", "invocation", id, "err", err)
	}
}

func problemType(code string) string { return "urn:sortie:problem:" + code }

// frame is around every request, found or not: it gives the request its id, guards it, and turns errors and panics into
// problems.
func (s *Server) frame(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := host.NewID()
		c.Set(keyInvocation, id)
		s.believe(c)
		if isPluginPath(c.Request().URL.Path) {
			c.Response().Header().Set("Content-Security-Policy", sandbox)
			c.Response().Header().Set(headerInvocation, id)
		}
		defer leaveBody(c)
		answerInTime(c)
		err := s.guarded(c, next)
		if err == nil {
			return nil
		}
		if c.Response().Committed {
			s.log.Error("request failed after its answer had begun", "invocation", invocationID(c), "err", err)
			panic(http.ErrAbortHandler) // reset the connection: never a clean end
		}
		s.writeProblem(c, err)
		return nil
	}
}

// guarded runs the handler, and gives a panic back as an error.
func (s *Server) guarded(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			s.log.Error("panic", "invocation", invocationID(c), "panic", fmt.Sprint(p), slog.String("stack", stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err := s.checkBrowser(c.Request()); err != nil {
		return err
	}
	return next(c)
}

// isPluginPath reports whether a decoded path is below /p/, where answers are the plugins' and not ours.
func isPluginPath(path string) bool { return path == "/p" || strings.HasPrefix(path, "/p/") }
