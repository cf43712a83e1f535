package sortie_test

import (
	"slices"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
)

func TestHeader(t *testing.T) {
	t.Parallel()
	h := sortie.Header{"Content-Type": {"a"}, "x-two": {"1", "2"}}
	if got := h.Get("content-type"); got != "a" {
		t.Errorf("Get finds %q under another case", got)
	}
	if got := h.Values("X-Two"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("Values = %v", got)
	}
	h.Add("content-TYPE", "b")
	if got := h.Values("Content-Type"); !slices.Equal(got, []string{"a", "b"}) || len(h) != 2 {
		t.Errorf("after Add: %v in %v", got, h)
	}
	h.Set("CONTENT-TYPE", "c")
	if got := h["content-type"]; !slices.Equal(got, []string{"c"}) || len(h) != 2 {
		t.Errorf("after Set: %v in %v", got, h)
	}
	h["X-TWO"] = []string{"3"}
	h.Del("X-two")
	if len(h) != 1 {
		t.Errorf("after Del: %v", h)
	}
	var none sortie.Header
	if none.Get("a") != "" || none.Values("a") != nil {
		t.Error("a nil header has values")
	}
}
