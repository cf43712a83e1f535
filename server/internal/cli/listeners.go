package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/sortie-run/sortie/server"
)

// door is a listener, and what is served there.
type door struct {
	listener net.Listener // nil: there is no such door
	http     *http.Server // nil until the server is made
}

// listen takes the addresses of the configuration, one for everything or one for plugins and one for the rest, and reads the certificate.
func (s *service) listen(ctx context.Context) (err error) {
	if s.operator.TLS.Cert != "" {
		if s.certificate, err = loadCertificate(s.operator.TLS, s.log); err != nil {
			return err
		}
	}
	if s.public.listener, err = listen(ctx, s.operator.Addr); err != nil {
		return err
	}
	if s.operator.AdminAddr == "" {
		return nil
	}
	var config net.ListenConfig
	if s.admin.listener, err = config.Listen(ctx, "tcp", s.operator.AdminAddr); err != nil {
		return fmt.Errorf("admin_addr: can't listen on %s: %w; choose another address", s.operator.AdminAddr, err)
	}
	return nil
}

// checkBind says whether the server may listen where it does. It's asked before anything is served.
func (s *service) checkBind() error {
	err := server.CheckBind(s.operator.Addr, s.server.Open())
	if err == nil && s.operator.AdminAddr != "" {
		err = server.CheckBind(s.operator.AdminAddr, s.server.Open())
	}
	return err
}

// furnish makes what is served at each door.
func (s *service) furnish() {
	if s.admin.listener == nil {
		s.public.http = s.httpServer(s.server)
		return
	}
	s.public.http = s.httpServer(s.server.Plugins())
	s.admin.http = server.HTTPServer(s.server.Admin(s.public.listener.Addr().String()), s.log)
	s.secure(s.admin.http)
}

// httpServer is what every command puts between its listener and the server.
func (s *service) httpServer(handler http.Handler) *http.Server {
	if s.with.around != nil {
		handler = s.with.around(handler)
	}
	h := server.HTTPServer(handler, s.log)
	s.secure(h)
	return h
}

// secure gives a server the certificate, if there is one.
func (s *service) secure(h *http.Server) {
	if s.certificate != nil {
		h.TLSConfig = s.certificate.config()
	}
}

// scheme is what the listeners speak.
func (s *service) scheme() string {
	if s.certificate != nil {
		return "https"
	}
	return "http"
}

// url is where this machine reaches a door.
func (s *service) url(d door) string { return s.scheme() + "://" + reachable(d.listener.Addr()) }

// doors are those that there are.
func (s *service) doors() []door {
	if s.admin.listener == nil {
		return []door{s.public}
	}
	return []door{s.public, s.admin}
}

// start serves; the channel gets the error if a listener fails.
func (s *service) start() <-chan error {
	failed := make(chan error, len(s.doors()))
	for _, d := range s.doors() {
		go func() {
			if err := d.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	return failed
}

func (d door) serve() error {
	if d.http.TLSConfig != nil {
		return d.http.ServeTLS(d.listener, "", "")
	}
	return d.http.Serve(d.listener)
}

// shut lets what is being answered end, at every door at once.
func (s *service) shut(ctx context.Context) error {
	doors := s.doors()
	errs := make(chan error, len(doors))
	for _, d := range doors {
		go func() { errs <- d.http.Shutdown(ctx) }()
	}
	var err error
	for range doors {
		err = errors.Join(err, <-errs)
	}
	return err
}

// closeDoors cuts off what there is.
func (s *service) closeDoors() error {
	var errs []error
	for _, d := range []door{s.public, s.admin} {
		if d.http != nil {
			errs = append(errs, d.http.Close())
		}
		if d.listener == nil {
			continue
		}
		if err := d.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
