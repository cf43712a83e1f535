// Command api-client is a plugin around an API client that others wrote: github.com/google/go-github, which knows nothing of Sortie. It
// adds up what is open in a repository: its issues, its pull requests and their labels.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-github/v90/github"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{owner}/{repo}", open)
	sortiehttp.Serve(mux)
}

func main() {}

// summary is the answer.
type summary struct {
	Issues int            `json:"issues"`
	Pulls  int            `json:"pulls"`
	Drafts int            `json:"drafts"` // of the pulls
	Labels map[string]int `json:"labels"`
}

func open(w http.ResponseWriter, r *http.Request) {
	s, err := summarise(r.Context(), r.PathValue("owner"), r.PathValue("repo"))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s)
}

func summarise(ctx context.Context, owner, repo string) (*summary, error) {
	// The client is made for net/http, and has its requests made by the host through sortiehttp. If the manifest has a token, the
	// host adds it: the plugin doesn't see it.
	client, err := github.NewClient(github.WithHTTPClient(sortiehttp.Client(sortie.WithTimeout(5 * time.Second))))
	if err != nil {
		return nil, err
	}
	issues, err := all(func(page int) ([]*github.Issue, *github.Response, error) {
		return client.Issues.ListByRepo(ctx, owner, repo, &github.IssueListByRepoOptions{ListOptions: github.ListOptions{Page: page, PerPage: 100}})
	})
	if err != nil {
		return nil, err
	}
	s := &summary{Labels: map[string]int{}}
	for _, i := range issues { // among which GitHub counts pull requests
		if i.IsPullRequest() {
			s.Pulls++
			if i.GetDraft() {
				s.Drafts++
			}
		} else {
			s.Issues++
		}
		for _, l := range i.Labels {
			s.Labels[l.GetName()]++
		}
	}
	return s, nil
}

// all gets the first page, which tells the last, and then those between at once.
func all[T any](get func(page int) ([]T, *github.Response, error)) ([]T, error) {
	list, resp, err := get(1)
	if err != nil {
		return nil, err
	}
	pages, errs := make([][]T, resp.LastPage+1), make([]error, resp.LastPage+1)
	var wg sync.WaitGroup
	for n := 2; n <= resp.LastPage; n++ {
		wg.Go(func() { pages[n], _, errs[n] = get(n) })
	}
	wg.Wait()
	for _, page := range pages {
		list = append(list, page...)
	}
	return list, errors.Join(errs...)
}

// fail answers with the status that fits: the client's own errors and Sortie's both come through.
func fail(w http.ResponseWriter, err error) {
	if _, ok := errors.AsType[*github.RateLimitError](err); ok {
		http.Error(w, "GitHub's rate limit is used up", http.StatusTooManyRequests)
		return
	}
	if e, ok := errors.AsType[*github.ErrorResponse](err); ok && e.Response.StatusCode == http.StatusNotFound {
		http.Error(w, "there is no such repository", http.StatusNotFound)
		return
	}
	status := http.StatusBadGateway
	if errors.Is(err, context.DeadlineExceeded) {
		status = http.StatusGatewayTimeout
	}
	sortie.Log.Error("asking GitHub", "err", err)
	http.Error(w, "GitHub doesn't answer as it should", status)
}
