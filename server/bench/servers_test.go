package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served is an upstream on loopback and a client for it.
func served(t *testing.T) (*upstream, *httptest.Server, *http.Client) {
	up := newUpstream()
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	client := pooled(10 * time.Second)
	t.Cleanup(client.CloseIdleConnections)
	return up, server, client
}

// TestNativeAnswers holds that the yardstick passes the checks that all competitors are held to, and that they catch what is wrong.
func TestNativeAnswers(t *testing.T) {
	t.Parallel()
	up, upstream, client := served(t)
	server := httptest.NewServer(nativeRoutes(client))
	defer server.Close()
	requests := int64(0)
	for _, s := range scenarios() {
		if err := send(t.Context(), client, s.request, server.URL, upstream.URL, s.name); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		requests += int64(s.fetches)
		if err := s.request.check(s.name, []byte(`{"id":"`+s.name+`x"}`)); outcomeOf(err) != wrong {
			t.Errorf("%s: another's answer gave %v", s.name, err)
		}
	}
	if got := up.requests.Load(); got != requests {
		t.Errorf("the upstream saw %d requests, not %d", got, requests)
	}
}

func TestUpstreamHolds(t *testing.T) {
	t.Parallel()
	_, upstream, client := served(t)
	do := func(method, path string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, upstream.URL+path, nil)
		if err != nil {
			t.Error(err)
			return ""
		}
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return string(body)
	}
	for range 2 { // it can be shut again
		do(http.MethodPost, "/shut")
		answer := make(chan string)
		go func() { answer <- do(http.MethodGet, "/hold/5") }()
		for !strings.Contains(do(http.MethodGet, "/stats"), `"in_flight":1`) {
			select {
			case got := <-answer:
				t.Fatalf("it was answered %q while the upstream was shut", got)
			default:
			}
		}
		do(http.MethodPost, "/open")
		if got := <-answer; got != "01234" {
			t.Errorf("got %q", got)
		}
	}
}
