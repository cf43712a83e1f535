package main

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

const issues = "https://api.github.com/repos/o/r/issues"

// reply is a page of issues that takes a second.
func reply(page, last int, body string) sortietest.Reply {
	header := map[string]string{"content-type": "application/json"}
	if page < last {
		header["link"] = fmt.Sprintf(`<%s?page=%d>; rel="next", <%s?page=%d>; rel="last"`, issues, page+1, issues, last)
	}
	return sortietest.Reply{Header: header, Body: body, Delay: time.Second}
}

func pageOf(n int) string { return issues + "?page=" + strconv.Itoa(n) + "&per_page=100" }

// TestPagesAreAskedForAtOnce has four pages of a second each: the first, and then the rest together.
func TestPagesAreAskedForAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := sortietest.New(t)
		host.Reply(pageOf(1), reply(1, 4, `[{"labels":[{"name":"bug"},{"name":"tea"}]},{}]`))
		host.Reply(pageOf(2), reply(2, 4, `[{"labels":[{"name":"tea"}]}]`))
		host.Reply(pageOf(3), reply(3, 4, `[{"pull_request":{},"draft":true}]`))
		host.Reply(pageOf(4), reply(4, 4, `[{"pull_request":{}}]`))

		began := time.Now()
		resp, err := host.Invoke("GET", "/o/r")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := resp.Text(), `{"issues":3,"pulls":2,"drafts":1,"labels":{"bug":1,"tea":2}}`+"\n"; resp.Status != 200 || got != want {
			t.Errorf("got %d %s, want %s", resp.Status, got, want)
		}
		if took := time.Since(began); took != 2*time.Second || host.MaxInFlight() != 3 {
			t.Errorf("took %s with %d at once, want two seconds and three", took, host.MaxInFlight())
		}
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply sortietest.Reply
		want  int
	}{
		"no such repository": {sortietest.Reply{Status: 404, Body: `{"message":"Not Found"}`}, 404},
		"rate limit":         {sortietest.Reply{Status: 403, Header: map[string]string{"x-ratelimit-remaining": "0"}, Body: `{}`}, 429},
		"broken":             {sortietest.Reply{Body: `[`}, 502},
		"unreachable":        {sortietest.Reply{Code: "connect_error"}, 502},
		"slow":               {sortietest.Reply{Code: "timeout"}, 504},
	} {
		host := sortietest.New(t)
		host.Reply(issues, c.reply)
		resp, err := host.Invoke("GET", "/o/r")
		if err != nil || resp.Status != c.want {
			t.Errorf("%s: got %v, %v, want %d", name, resp, err, c.want)
		}
	}
}
