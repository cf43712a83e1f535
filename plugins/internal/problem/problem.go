// Package problem makes the answers of a plugin that can't do what was asked: application/problem+json (RFC 9457), in the members that
// the host's own have, so that a client reads both alike. What tells them apart is the header Sortie-Error, which only the host sets.
package problem

import (
	"errors"
	"maps"
	"strconv"

	"github.com/sortie-run/sortie/plugins/internal/settings"
	sortie "github.com/sortie-run/sortie/sdk/go"
)

// Response makes the answer. detail is for people and says what to do; code is for programs. more are members of its own, which can't
// replace the usual ones.
func Response(status int, code, detail string, more map[string]any) *sortie.Response {
	members := maps.Clone(more)
	if members == nil {
		members = map[string]any{}
	}
	members["type"] = "about:blank"
	members["title"] = title(status)
	members["status"] = status
	members["detail"] = detail
	members["code"] = code
	resp := sortie.JSON(status, members)
	if resp.Header != nil {
		resp.Header.Set("content-type", "application/problem+json")
	}
	return resp
}

// Misconfigured answers 500 `invalid_config` with all that is wrong in the manifest's `config`: err's text, and as `problems` each
// key and what is wrong with it, where err is settings.Problems. It is logged too: whoever calls the plugin is seldom who can correct
// it.
func Misconfigured(err error) *sortie.Response {
	sortie.Log.Error("the configuration is wrong", "error", err)
	var problems settings.Problems
	errors.As(err, &problems)
	return Response(500, "invalid_config", err.Error(), map[string]any{"problems": problems})
}

// title is the status's own phrase, as RFC 9457 asks of about:blank problems (section 4.2.1).
func title(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 403:
		return "Forbidden"
	case 404:
		return "Not Found"
	case 405:
		return "Method Not Allowed"
	case 500:
		return "Internal Server Error"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	}
	return "Status " + strconv.Itoa(status)
}
