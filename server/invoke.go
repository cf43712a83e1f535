package server

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
)

// invoke answers /p/{name} and everything below it.
func (s *Server) invoke(c echo.Context) error {
	arrived, name := time.Now(), pluginName(c)
	if !s.running.enter() {
		return draining()
	}
	defer s.running.leave()
	if done, err := s.preflight(c, name); done {
		return err
	}
	v, t, err := s.choose(c, name)
	if err != nil {
		return err
	}
	defer v.release()
	c.Response().Header().Set(headerVersion, strconv.Itoa(v.stored.Number))
	if err := v.admit(arrived); err != nil {
		return err // no report and no line: in an overload this is what most get, and they must cost next to nothing
	}
	if err := s.usage.enter(name, t.quota); err != nil {
		return err
	}
	limits := t.manifest.Limits
	ctx, cancel := context.WithDeadlineCause(c.Request().Context(), arrived.Add(time.Duration(limits.Wall)), errWall)
	defer cancel()
	held := s.share()
	defer held.release()
	i := &invocation{server: s, c: c, version: v, arrived: arrived}
	g, body, err := s.prepare(ctx, c, v, held, int64(limits.Input))
	if err != nil {
		if v.deleted.Load() { // while it was loaded
			return s.nothingToInvoke(name, max(1, v.stored.Number))
		}
		return i.failed(i.unbegun(), err)
	}
	defer body.end()
	out := newOutgoing(c, name, held, time.Duration(limits.Stream))
	// The host keeps the wall limit itself, from Arrived on. All that the client's connection tells it is that the client has gone.
	response, report, err := g.Invoke(body.ctx, s.request(i, name, body, out))
	body.end()
	s.usage.spent(name, t.quota, report)
	switch {
	case out.failed != nil:
		err = out.failed
	case err == nil:
		err = deliverable(response)
	}
	if err == nil && !response.Streamed {
		err = held.resize(int64(cap(response.Body))) // in the place of the request's, which nobody needs any more
	}
	timing(c.Response().Header(), report) // of an answer whose head has gone out: its trailer
	if err != nil {
		return i.failed(report, err)
	}
	i.succeeded(report, response.Status)
	if response.Streamed {
		out.end()
		return nil
	}
	return s.deliver(c, name, response)
}

// prepare makes the version's guest ready and takes the request's body, or makes it ready to be read by the guest. One that says it's too
// large isn't waited for.
func (s *Server) prepare(ctx context.Context, c echo.Context, v *version, held *share, limit int64) (guest, *requestBody, error) {
	r := c.Request()
	if r.ContentLength > limit {
		return nil, nil, host.NewError(host.CodeLimitInput, "The request's body has %d bytes; limits.input is %d.", r.ContentLength, limit)
	}
	g, err := v.ready(ctx)
	if err != nil {
		return nil, nil, err
	}
	if g.StreamsRequest() && !bodyRead(c) {
		pieces, err := newPieces(c, held, limit)
		if err != nil {
			return nil, nil, err
		}
		return g, &requestBody{ctx: pieces.ctx, pieces: pieces}, nil
	}
	whole, err := readBody(c, held, limit, deadline(ctx))
	return g, &requestBody{ctx: r.Context(), whole: whole}, err
}

// errWall is the cause of a context whose invocation has used up its wall limit before it got to its guest.
var errWall = host.NewError(host.CodeLimitWall, "The invocation's time (limits.wall) was over before the plugin began.")

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

// choose finds the version to invoke, checks that the caller may, and holds it. An unknown name and one that needs a token look
// the same to those without a token.
func (s *Server) choose(c echo.Context, name string) (*version, *terms, error) {
	pin, err := pinned(c.Request().Header)
	if err != nil {
		return nil, nil, err
	}
	for {
		p := s.plugins.find(name)
		v := p.pick(pin, p.stickyKey(c.Request()))
		if v == nil {
			_, denied := s.authorize(c, toInvoke(pin), name)
			return nil, nil, cmp.Or(denied, error(s.nothingToInvoke(name, pin)))
		}
		t, err := s.permitted(c, v, pin)
		if err != nil {
			return nil, nil, err
		}
		if v.hold(pin != 0) {
			return v, t, nil
		}
		// It was just replaced, so look again; but not for a caller or a server that is gone.
		if err := c.Request().Context().Err(); err != nil {
			return nil, nil, gone(err)
		}
		if s.running.isClosed() {
			return nil, nil, draining()
		}
	}
}

// permitted returns the version's terms if the caller may invoke it.
func (s *Server) permitted(c echo.Context, v *version, pin int) (*terms, error) {
	t, err := v.terms()
	if err == nil {
		if pin == 0 { // which versions there are is told to those who may know
			corsHeaders(c, &t.manifest.CORS) // pages may read refusals too
		}
	}
	if err == nil && t.public && pin == 0 {
		return t, nil
	}
	if _, denied := s.authorize(c, toInvoke(pin), v.plugin); denied != nil {
		return nil, denied
	}
	if err != nil {
		return nil, s.plugins.unloadable(v, err)
	}
	if pin != 0 {
		corsHeaders(c, &t.manifest.CORS)
	}
	return t, nil
}

// toInvoke is the role that an invocation needs where the plugin isn't public.
func toInvoke(pin int) role {
	if pin != 0 {
		return roleRead
	}
	return roleInvoke
}

// nothingToInvoke says why there is no version to invoke.
func (s *Server) nothingToInvoke(name string, pin int) *host.Error {
	switch {
	case s.plugins.find(name) == nil:
		return notFound(name)
	case pin != 0:
		return host.NewError(codeVersionNotFound, "Plugin %q has no version %d.", name, pin)
	default:
		return host.NewError(codeVersionNotFound, "No version of plugin %q takes traffic; pin one with the header Sortie-Version.", name)
	}
}

// pinned reads the header Sortie-Version; 0 means that there is none.
func pinned(h http.Header) (int, error) {
	values := h[headerVersion]
	if len(values) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(values[0])
	if len(values) > 1 || err != nil || n < 1 {
		return 0, host.NewError(codeBadRequest, "Sortie-Version is %q; it's the number of a version.", values)
	}
	return n, nil
}
