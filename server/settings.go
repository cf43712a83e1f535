package server

import (
	"fmt"

	"github.com/sortie-run/sortie/host/manifest"
)

// settings are what a reload changes.
type settings struct {
	operator *manifest.Operator
	signers  signers
	proxies  proxies
	people   *people
}

func newSettings(op *manifest.Operator) (*settings, error) {
	signers, err := newSigners(op.Signatures)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return &settings{operator: op, signers: signers, proxies: newProxies(op.TrustedProxies), people: newPeople(op.OIDC)}, nil
}

// Reload has the operator's new configuration count from now on: for deploys, and for the versions that there are, whose invocations that
// run go on under the old one to their end. What the process has at once (process, upstreams, dns, addresses) stays as it was when it
// started. On error everything does.
func (s *Server) Reload(op *manifest.Operator) error {
	next, err := newSettings(op)
	if err != nil {
		return err
	}
	if err := s.secrets.reload(op); err != nil {
		return err
	}
	if old := s.settings.Swap(next).people; old != nil {
		old.client.CloseIdleConnections()
	}
	if s.runtime != nil {
		s.runtime.SetOperator(op)
	}
	s.plugins.reload(op)
	return nil
}
