package problem

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sortie-run/sortie/plugins/internal/settings"
)

func TestResponse(t *testing.T) {
	t.Parallel()
	for status, title := range map[int]string{400: "Bad Request", 504: "Gateway Timeout", 410: "Status 410"} {
		more := map[string]any{"call": "a", "status": "not this"}
		resp := Response(status, "some_code", "what to do", more)
		var got map[string]any
		if err := json.Unmarshal(resp.Body, &got); err != nil {
			t.Fatal(err)
		}
		if resp.Status != status || resp.Header.Get("content-type") != "application/problem+json" || got["title"] != title ||
			got["status"] != float64(status) || got["code"] != "some_code" || got["detail"] != "what to do" || got["call"] != "a" || len(got) != 6 {
			t.Errorf("got %d %v %v", resp.Status, resp.Header, got)
		}
		if more["status"] != "not this" || len(more) != 2 {
			t.Errorf("the caller's map was changed: %v", more)
		}
	}
}

func TestMisconfigured(t *testing.T) {
	t.Parallel()
	for _, err := range []error{settings.Problems{{Key: "config.a", Message: "is odd"}}, errors.New("config.a: is odd")} {
		resp := Misconfigured(err)
		var got struct {
			Code, Detail string
			Problems     []settings.Problem
		}
		if err := json.Unmarshal(resp.Body, &got); err != nil {
			t.Fatal(err)
		}
		var want settings.Problems
		errors.As(err, &want)
		if resp.Status != 500 || got.Code != "invalid_config" || got.Detail != "config.a: is odd" || len(got.Problems) != len(want) {
			t.Errorf("%v: got %d %s", err, resp.Status, resp.Body)
		}
	}
}
