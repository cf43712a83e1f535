package fetch_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
)

func TestParseExpect(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]int{
		"":                  {100, 200, 404, 599},
		" ":                 {100, 200, 404, 599},
		"2xx":               {200, 204, 299},
		"2XX":               {200, 204, 299},
		"200":               {200},
		"2xx,404":           {200, 204, 299, 404},
		" 2xx , 404 ":       {200, 204, 299, 404},
		"200-204":           {200, 204},
		"200 - 204,500-599": {200, 204, 500, 599},
		"1xx,599":           {100, 599},
	} {
		e, err := fetch.ParseExpect(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		for _, status := range []int{100, 200, 204, 299, 300, 404, 500, 599} {
			any := len(want) == 4 && want[1] == 200 && want[0] == 100
			if got := e.Match(status); got != (any || slices.Contains(want, status)) {
				t.Errorf("%q matches %d: %t", text, status, got)
			}
		}
	}
	for _, text := range []string{",", "2xx,", "2x", "xx", "6xx", "0xx", "20", "2000", "600", "204-200", "200-", "-200", "2xx-3xx", "a", "２００", "+20"} {
		if _, err := fetch.ParseExpect(text); failure.CodeOf(err) != failure.InvalidRequest {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseExpect(f *testing.F) {
	for _, seed := range []string{"", "2xx", "200,404", "200-299", "1xx, 5XX", "2x", ",,", "999", "200--201"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := fetch.ParseExpect(text)
		if err != nil {
			if failure.CodeOf(err) != failure.InvalidRequest {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if e.Match(99) != e.Match(600) || e.Match(99) && !e.Match(200) {
			t.Fatalf("%q matches what is no status", text)
		}
		again, err := fetch.ParseExpect(e.String())
		if err != nil {
			t.Fatalf("%q: %v", e.String(), err)
		}
		for status := 100; status < 600; status++ {
			if again.Match(status) != e.Match(status) {
				t.Fatalf("%q and %q differ on %d", text, e.String(), status)
			}
		}
	})
}

func TestExpect(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		fmt.Fprint(w, "body")
	})
	b := open(t, fetch.Config{}, loopback())
	for _, tc := range []struct {
		method, expect string
		status         int
		ok, retryable  bool
	}{
		{"GET", "", 500, true, false},
		{"GET", "2xx", 200, true, false},
		{"GET", "2xx,404", 404, true, false},
		{"GET", "2xx", 404, false, false},
		{"GET", "2xx", 503, false, true},
		{"POST", "2xx", 503, false, true}, // by status, whatever the method
		{"POST", "2xx", 404, false, false},
		{"GET", "500-599", 200, false, false},
	} {
		r := b.do(&fetch.Request{Method: tc.method, URL: fmt.Sprintf("%s/%d", up.URL, tc.status), Expect: tc.expect})
		if tc.ok {
			wantOK(t, r)
			continue
		}
		err := wantCode(t, r, failure.HTTPStatus)
		if err.Response == nil || err.Response.Status != tc.status || string(err.Response.Body) != "body" || err.Attempts != 1 {
			t.Errorf("%+v: got %+v", tc, err)
		}
		if err.Retryable != tc.retryable {
			t.Errorf("%+v: retryable %t", tc, err.Retryable)
		}
	}
	rec := b.session.Records()
	if last := rec[len(rec)-1]; last.Status != 200 || last.Bytes != 4 || last.Code != failure.HTTPStatus {
		t.Errorf("record %+v", last)
	}
}
