package server

import (
	"errors"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// terms are what a version runs under: its manifest, cut down to the operator's ceilings as they are now.
type terms struct {
	manifest *manifest.Manifest
	clamped  []manifest.Clamped
	quota    manifest.Quota
	public   bool // callers need no token: the manifest asks for that, and the operator consents
}

// limits are the limits in force, as the API shows them.
func (t *terms) limits() Limits {
	return Limits{Limits: t.manifest.Limits, Fetch: t.manifest.Fetch.Limits}
}

// newTerms is readTerms for a manifest that is to be deployed, which can ask only for secrets that there are: known has them all.
func newTerms(operator, known *manifest.Operator, name string, data []byte) (*terms, error) {
	if _, _, err := known.ManifestFor(name, data); err != nil {
		return nil, invalidManifest(err)
	}
	return readTerms(operator, name, data)
}

// readTerms reads the manifest that was deployed for the plugin. A manifest that leaves the name out has the plugin's, and one
// that asks to be public without the operator's consent is not public any more. The error is invalid_manifest.
func readTerms(operator *manifest.Operator, name string, data []byte) (*terms, error) {
	m, clamped, err := operator.Deployed(name, data)
	if err != nil {
		return nil, invalidManifest(err)
	}
	return &terms{manifest: m, clamped: clamped, quota: operator.Rules(name).Quota, public: m.Access == manifest.AccessPublic}, nil
}

func invalidManifest(err error) error {
	var found manifest.Errors
	if errors.As(err, &found) {
		err = found.In("plugin.yaml")
	}
	e := host.NewError(host.CodeInvalidManifest, "%s", err.Error())
	e.Err = err
	return e
}
