package sortiehttp

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Transport is an [http.RoundTripper] whose requests the host makes. Its zero value works. It may be used from any number of goroutines, whose
// fetches overlap.
//
// A redirecting answer is handed on, as by net/http's own transport: the http.Client above follows it, with its CheckRedirect and its cookie
// jar, and each hop is a fetch of its own under the manifest's policy and budget.
//
// A failed fetch is a *[sortie.Error]: errors.As finds it in the *url.Error that the http.Client makes of it, errors.Is its class.
type Transport struct {
	// Options hold for every fetch: time-outs, retries, hedging, header fields. WithRedirect and WithStream have no effect. Once the
	// Transport is in use they must not be changed.
	Options []sortie.Option
}

// RoundTrip fetches. It returns when the response's head is here; the body is read as it arrives.
//
// The request isn't changed, and its body has been closed when the fetch is over: by an error, at the end of the response's body, or by its
// Close. The request's context rules until then. A request with trailers is refused, since the host sends none.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	up := newUpload(req)
	out, err := t.outgoing(req, up)
	if err != nil {
		_ = up.Close()
		return nil, err
	}
	in, err := sortie.Fetch(req.Context(), out, t.Options...)
	if err != nil {
		_ = up.Close() // unless it was begun it is still open
		return nil, err
	}
	return response(req, in), nil
}

func (t *Transport) outgoing(req *http.Request, up *upload) (*sortie.Request, error) {
	switch {
	case req.URL == nil:
		return nil, &sortie.Error{Code: "invalid_url", Message: "the request has no URL"}
	case len(req.Trailer) > 0:
		return nil, &sortie.Error{Code: "invalid_request", Message: "trailers can't be sent", URL: address(req.URL)}
	}
	out := &sortie.Request{Method: req.Method, URL: address(req.URL), Header: sortie.Header(req.Header)}
	if out.Method == "" {
		out.Method = http.MethodGet // else an option with a body would make it a POST
	}
	if err := up.attach(out); err != nil {
		var known *sortie.Error
		if errors.As(err, &known) { // the body may be another fetch's response
			return nil, err
		}
		return nil, &sortie.Error{Code: "invalid_request", Message: "reading the request's body: " + err.Error(), URL: out.URL}
	}
	return out.With(sortie.WithStream(), sortie.WithRedirect(sortie.RedirectManual)), nil
}

// address is the URL as it goes to the host. User information stays here, as it does with net/http's transport: the http.Client has made a
// header field of it. An opaque URL holds what follows the scheme, or the path alone (see [url.URL]).
func address(u *url.URL) string {
	plain := *u
	plain.User, plain.Fragment, plain.RawFragment = nil, "", ""
	if plain.Opaque != "" && !strings.HasPrefix(plain.Opaque, "//") {
		plain.Opaque = "//" + plain.Host + plain.Opaque
	}
	return plain.String()
}
