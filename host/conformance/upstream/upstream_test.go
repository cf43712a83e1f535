package upstream_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sortie-run/sortie/host/conformance/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, client *http.Client, url string, fails bool) (int, http.Header, string, error) {
	t.Helper()
	patience := 20 * time.Second
	if fails {
		patience = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(body), err
}

func TestSteps(t *testing.T) {
	t.Parallel()
	s, err := upstream.Start(upstream.Script{
		"/turns": {{Status: 503}, {Count: true}},
		"/cut":   {{Body: "whole", Short: 2}},
		"/open":  {{Body: "half", Broken: true}},
		"/reset": {{Close: true}},
		"/hang":  {{Hang: true}},
		"/stall": {{Body: "half", Stall: true}},
		"/raw":   {{Raw: "what?\r\n\r\n"}},
		"/after": {{Until: map[string]int{"/hang": 1}, Body: "now"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range []struct {
		path, body string
		status     int
		fails      bool
	}{
		{"/turns", "", 503, false},
		{"/turns", "2", 200, false},
		{"/turns", "3", 200, false},
		{"/none", "404 page not found\n", 404, false},
		{"/cut", "who", 200, true},
		{"/open", "half", 200, true},
		{"/reset", "", 0, true},
		{"/raw", "", 0, true},
		{"/stall", "half", 200, true},
		{"/hang", "", 0, true},
		{"/after", "now", 200, false},
	} {
		status, _, body, err := get(t, client, s.Origin+tc.path, tc.fails)
		if status != tc.status || body != tc.body || (err != nil) != tc.fails {
			t.Errorf("%s: %d, %q, %v", tc.path, status, body, err)
		}
	}
	if n := s.Requests("/turns"); n != 3 {
		t.Errorf("%d requests are counted", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !s.Until(ctx, func() bool { return s.Cut("/hang") == 1 && s.Cut("/stall") == 1 }) {
		t.Errorf("%d and %d were given up", s.Cut("/hang"), s.Cut("/stall"))
	}
	if s.Cut("/cut") != 0 || s.Cut("/reset") != 0 {
		t.Error("what the upstream itself breaks off was not given up by the client")
	}
	if _, _, _, err := get(t, client, s.Dead, true); err == nil {
		t.Error("somebody listens at a dead origin")
	}
}

// The second origin is counted apart, and preflights and who waits aren't at all.
func TestCounts(t *testing.T) {
	t.Parallel()
	s, err := upstream.Start(upstream.Script{"/a": {{Body: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if _, _, body, err := get(t, client, s.Other+"/a", false); err != nil || body != "a" {
		t.Errorf("%q, %v", body, err)
	}
	if _, _, _, err := get(t, client, s.WaitURL("other:/a", 1), false); err != nil {
		t.Error(err)
	}
	if _, _, _, err := get(t, client, s.WaitURL("/a", 1), true); err == nil {
		t.Error("nobody has asked for it yet")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.Origin+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Access-Control-Request-Method", "PUT")
	req.Header.Set("Access-Control-Request-Headers", "authorization")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if h := resp.Header; h.Get("Access-Control-Allow-Methods") != "PUT" || h.Get("Access-Control-Allow-Headers") != "authorization" {
		t.Errorf("the preflight's answer is %v", h)
	}
	if s.Requests("/a") != 0 || s.Requests("other:/a") != 1 || s.Most() != 1 {
		t.Errorf("%d, %d, %d are counted", s.Requests("/a"), s.Requests("other:/a"), s.Most())
	}
}
