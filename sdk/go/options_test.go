package sortie_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// sends fetches req and returns what reached the host.
func sends(t *testing.T, req *sortie.Request, opts ...sortie.Option) *sortie.Request {
	t.Helper()
	h := sortietest.New(t)
	h.Reply("https://x.example/*", sortietest.Reply{})
	h.Do(func(ctx context.Context) {
		if _, err := sortie.Fetch(ctx, req, opts...); err != nil {
			t.Fatal(err)
		}
	})
	return h.Requests()[0]
}

func TestRequestsAsSent(t *testing.T) {
	t.Parallel()
	const at = "https://x.example/"
	for _, c := range []struct {
		name string
		req  *sortie.Request
		opts []sortie.Option
		want string
	}{
		{"nothing", &sortie.Request{URL: at}, nil, "GET https://x.example/"},
		{"header of the call", &sortie.Request{URL: at}, []sortie.Option{sortie.WithHeader("X-A", "1")}, "GET https://x.example/ x-a=1"},
		{"header of the request beats it", &sortie.Request{URL: at, Header: sortie.Header{"X-a": {"2"}}},
			[]sortie.Option{sortie.WithHeader("X-A", "1"), sortie.WithHeader("x-b", "3")}, "GET https://x.example/ x-a=2 x-b=3"},
		{"With beats both", (&sortie.Request{URL: at, Header: sortie.Header{"X-a": {"2"}}}).With(sortie.WithHeader("x-A", "4")),
			[]sortie.Option{sortie.WithHeader("X-A", "1")}, "GET https://x.example/ x-a=4"},
		{"query", (&sortie.Request{URL: at + "?u=1"}).With(sortie.WithQuery("page", "2")),
			[]sortie.Option{sortie.WithQuery("page", "1"), sortie.WithQuery("key", "k")}, "GET https://x.example/?u=1&key=k&page=2"},
		{"json", &sortie.Request{URL: at}, []sortie.Option{sortie.WithJSON(map[string]int{"a": 1})},
			`POST https://x.example/ content-type=application/json {"a":1}`},
		{"json with a method and type", &sortie.Request{Method: "PUT", URL: at, Header: sortie.Header{"Content-Type": {"application/x+json"}}},
			[]sortie.Option{sortie.WithJSON(1)}, "PUT https://x.example/ content-type=application/x+json 1"},
		{"form", &sortie.Request{URL: at}, []sortie.Option{sortie.WithForm(url.Values{"a": {"1 2"}})},
			"POST https://x.example/ content-type=application/x-www-form-urlencoded a=1+2"},
		{"a request's own body beats the call's", &sortie.Request{URL: at, Method: "POST", Body: []byte("own")},
			[]sortie.Option{sortie.WithJSON(1)}, "POST https://x.example/ own"},
		{"basic auth", &sortie.Request{URL: at}, []sortie.Option{sortie.WithBasicAuth("Aladdin", "open sesame")},
			"GET https://x.example/ authorization=Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		{"body reader", &sortie.Request{Method: "POST", URL: at, BodyReader: strings.NewReader("read")}, nil, "POST https://x.example/ read"},
		{"nil option", &sortie.Request{URL: at}, []sortie.Option{nil}, "GET https://x.example/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sends(t, c.req, c.opts...)
			text := got.Method + " " + got.URL
			for _, name := range []string{"authorization", "content-type", "x-a", "x-b"} {
				if v := got.Header.Values(name); v != nil {
					text += " " + name + "=" + strings.Join(v, "|")
				}
			}
			if len(got.Body) > 0 {
				text += " " + string(got.Body)
			}
			if text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func TestFetchLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	req := &sortie.Request{URL: "https://x.example/", Header: sortie.Header{"A": {"1"}}}
	sends(t, req, sortie.WithHeader("a", "2"), sortie.WithHeader("b", "3"), sortie.WithQuery("q", "1"), sortie.WithJSON(1))
	if req.URL != "https://x.example/" || req.Method != "" || req.Body != nil || len(req.Header) != 1 || req.Header["A"][0] != "1" {
		t.Errorf("the request has become %+v", req)
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		req  *sortie.Request
		opts []sortie.Option
		want error
	}{
		{"nil request", nil, nil, sortie.ErrInvalid},
		{"json that can't be", &sortie.Request{}, []sortie.Option{sortie.WithJSON(make(chan int))}, sortie.ErrInvalid},
		{"redirect mode", &sortie.Request{}, []sortie.Option{sortie.WithRedirect("bounce")}, sortie.ErrInvalid},
		{"negative time", &sortie.Request{}, []sortie.Option{sortie.WithTimeout(-1)}, sortie.ErrInvalid},
		{"attempts", &sortie.Request{}, []sortie.Option{sortie.WithRetry(sortie.Retry{Attempts: 1 << 30})}, sortie.ErrInvalid},
		{"statuses", &sortie.Request{}, []sortie.Option{sortie.WithRetry(sortie.Retry{Statuses: []int{1 << 20}})}, sortie.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sortietest.New(t)
			h.Do(func(ctx context.Context) {
				_, err := sortie.Fetch(ctx, c.req, c.opts...)
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if n := len(h.Requests()); n > 0 {
					t.Errorf("%d requests were sent", n)
				}
			})
		})
	}
}
