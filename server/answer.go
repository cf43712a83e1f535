package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
)

// deliverable tells whether a plugin's response can be an answer.
func deliverable(r *host.Response) error {
	if r.Status < 200 || r.Status > 599 {
		return host.NewError(host.CodePluginError, "The plugin answered with status %d, which isn't one.", r.Status)
	}
	return nil
}

// deliver sends the plugin's response to the client.
func (s *Server) deliver(c echo.Context, name string, r *host.Response) error {
	w := c.Response()
	setHeader(w.Header(), name, spokenFor(c, r.Header))
	refuseBody(c) // if the plugin reads it in pieces, and has left some
	body := r.Body
	switch {
	case bodyless(r.Status):
		body = nil
	case c.Request().Method == http.MethodHead:
		if len(body) > 0 { // an empty one says nothing about what GET would answer
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		body = nil
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if err := send(w, r.Status, body); err != nil {
		s.log.Debug("answer not delivered", "invocation", invocationID(c), "err", err)
		panic(http.ErrAbortHandler) // reset the connection: never a clean end
	}
	return nil
}

// bodyless tells whether answers of a status have no body (RFC 9110, section 6.4.1).
func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// setHeader adds the fields of a plugin's response to ours. Those of the connection and of Sortie are dropped, cookies confined,
// and so is what would speak for the whole origin, which the plugin shares with the server and other plugins. Where
// the plugin has a Content-Security-Policy it's a second one: a browser enforces both. Its Server-Timing follows ours.
func setHeader(h http.Header, name string, fields []fetch.Field) {
	var connection []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, "Connection") {
			connection = append(connection, f.Value)
		}
	}
	nominated := nominees(connection)
	for _, f := range fields {
		field := http.CanonicalHeaderKey(f.Name)
		if hopByHop[field] || nominated[field] || isOurs(field) || originWide[field] || field == "Content-Length" ||
			!httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			continue
		}
		value := f.Value
		if field == "Set-Cookie" {
			var ok bool
			if value, ok = confine(value, name); !ok {
				continue
			}
		}
		h[field] = append(h[field], value)
	}
}

// originWide are fields by which a response decides for its whole origin, not for itself.
var originWide = map[string]bool{
	"Accept-Ch": true, "Alt-Svc": true, "Clear-Site-Data": true, "Critical-Ch": true, "Expect-Ct": true, "Nel": true,
	"Origin-Agent-Cluster": true, "Public-Key-Pins": true, "Report-To": true, "Service-Worker-Allowed": true, "Set-Login": true,
	"Strict-Transport-Security": true,
}

// confine rewrites a Set-Cookie so that only the plugin's own addresses see the cookie: its Path is /p/NAME, and it has no
// Domain. It reports false for what isn't a cookie, and for one whose name begins with __Host-, which would need Path=/.
func confine(line, name string) (string, bool) {
	cookie, err := http.ParseSetCookie(line)
	if err != nil || hasPrefixFold(cookie.Name, "__Host-") {
		return "", false
	}
	cookie.Path, cookie.Domain = "/p/"+name, ""
	out := cookie.String()
	return out, out != ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// timing adds Server-Timing (https://www.w3.org/TR/server-timing/), in milliseconds. A report is there after every invocation that
// got to its guest.
func timing(h http.Header, r *host.Report) {
	if r == nil {
		return
	}
	h.Add("Server-Timing", fmt.Sprintf(`queue;dur=%.3f, guest;dur=%.3f, fetch;dur=%.3f;desc="%d", total;dur=%.3f`,
		milliseconds(r.Queue), milliseconds(r.Guest), milliseconds(r.Fetch), len(r.Fetches), milliseconds(r.Total)))
}
