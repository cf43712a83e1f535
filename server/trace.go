package server

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch/har"
)

const (
	typeJSON = "application/json"
	typeHAR  = "application/har+json"
)

// trace answers GET /v1/invocations/{id}.
func (s *Server) trace(c echo.Context) error {
	mediaType, err := reportType(c.QueryParams()["format"], c.Request().Header.Values("Accept"))
	if err != nil {
		return err
	}
	report := s.reports.find(c.Param("id"))
	if report == nil || callerOf(c).may(roleRead, report.Plugin) != nil { // of another's plugin it isn't even said that there is one
		return host.NewError(codeNotFound, "There is no report of such an invocation; there will be if it is still running. Reports are kept in memory for the last %d "+
			"invocations only, for fewer where they are large, and go with their plugin.", reportCount)
	}
	var body bytes.Buffer
	if mediaType == typeHAR {
		// A record's times count from when the guest's turn came, not from when the request did.
		meta := har.Meta{Title: report.ID, Started: report.Started.Add(report.Queue), Total: report.Total - report.Queue, Version: s.build}
		err = har.Write(&body, meta, report.Fetches)
	} else {
		err = json.NewEncoder(&body).Encode(report)
	}
	if err != nil {
		return err
	}
	// A report may be as large as an answer, so it's held and sent like one.
	held := s.share()
	defer held.release()
	if err := held.resize(int64(body.Cap())); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	if err := send(c.Response(), http.StatusOK, body.Bytes()); err != nil {
		s.log.Debug("report not delivered", "invocation", invocationID(c), "err", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// reportType is what the client wants a report as: what ?format says, else what Accept prefers, else JSON.
func reportType(format, accept []string) (string, error) {
	switch {
	case len(format) == 1 && format[0] == "har":
		return typeHAR, nil
	case len(format) == 1 && format[0] == "json":
		return typeJSON, nil
	case len(format) > 0:
		return "", host.NewError(codeBadRequest, "format is %.64q; it can be json or har.", strings.Join(format, ","))
	}
	best, quality := typeJSON, 0.0
	for line := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaType, params, err := mime.ParseMediaType(line)
		if err != nil || mediaType != typeJSON && mediaType != typeHAR {
			continue // a wildcard takes the default
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if q > quality { // so not NaN either; of equals the first
			best, quality = mediaType, q
		}
	}
	return best, nil
}
