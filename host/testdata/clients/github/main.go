// Command github is a plugin around github.com/google/go-github, which knows nothing of Sortie: JSON, pages by Link fields, errors of its
// own, redirects that the http.Client follows. The tests of package host run it.
package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/google/go-github/v90/github"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
)

func main() {}

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /issues/{owner}/{repo}", issues)
	mux.HandleFunc("POST /issues/{owner}/{repo}", create)
	mux.HandleFunc("GET /stars/{owner}", stars)
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oh no") })
	sortiehttp.Serve(mux)
}

func client() (*github.Client, error) {
	api, _ := sortie.Config("api")
	return github.NewClient(github.WithHTTPClient(sortiehttp.Client()), github.WithURLs(&api, nil), github.WithAuthToken("token"))
}

// issues lists all of a repository's open issues, page after page.
func issues(w http.ResponseWriter, r *http.Request) {
	c, err := client()
	if err != nil {
		fail(w, err)
		return
	}
	var titles []string
	opts := &github.IssueListByRepoOptions{State: "open", ListOptions: github.ListOptions{PerPage: 2}}
	for pages := 1; ; pages++ {
		list, resp, err := c.Issues.ListByRepo(r.Context(), r.PathValue("owner"), r.PathValue("repo"), opts)
		if err != nil {
			fail(w, err)
			return
		}
		for _, i := range list {
			titles = append(titles, i.GetTitle())
		}
		if resp.NextPage == 0 {
			answer(w, 200, map[string]any{"titles": titles, "pages": pages, "remaining": resp.Rate.Remaining})
			return
		}
		opts.ListOptions.Page = resp.NextPage
	}
}

// create makes an issue of the request's body, which is its title.
func create(w http.ResponseWriter, r *http.Request) {
	c, err := client()
	if err != nil {
		fail(w, err)
		return
	}
	var in github.CreateIssueRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	issue, _, err := c.Issues.Create(r.Context(), r.PathValue("owner"), r.PathValue("repo"), in)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusCreated, map[string]any{"number": issue.GetNumber()})
}

// stars adds up the stars of some repositories, asked for by goroutines at once.
func stars(w http.ResponseWriter, r *http.Request) {
	c, err := client()
	if err != nil {
		fail(w, err)
		return
	}
	names := r.URL.Query()["repo"]
	counts, errs := make([]int, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			var repo *github.Repository
			repo, _, errs[i] = c.Repositories.Get(r.Context(), r.PathValue("owner"), name)
			counts[i] = repo.GetStargazersCount()
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		fail(w, err)
		return
	}
	answer(w, 200, map[string]any{"stars": counts})
}

// fail answers with what the client's own error types tell.
func fail(w http.ResponseWriter, err error) {
	told := map[string]any{}
	if limit := new(github.RateLimitError); errors.As(err, &limit) {
		told["limit"], told["remaining"] = limit.Rate.Limit, limit.Rate.Remaining
	}
	if response := new(github.ErrorResponse); errors.As(err, &response) {
		told["status"], told["message"] = response.Response.StatusCode, response.Message
		for _, e := range response.Errors {
			told["field"] = e.Field
		}
	}
	if fetch := new(sortie.Error); errors.As(err, &fetch) {
		told["code"] = fetch.Code
	}
	answer(w, http.StatusBadGateway, told)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
