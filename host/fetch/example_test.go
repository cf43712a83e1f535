package fetch_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/manifest"
)

func Example() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s", r.URL.Path)
	}))
	defer upstream.Close()

	engine := fetch.New(fetch.Config{})
	defer engine.Close()
	client, err := engine.Client(fetch.Policy{
		Rules:   []manifest.Rule{{URL: upstream.URL + "/open", Private: true}},
		Private: []string{"127.0.0.1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := client.Session(context.Background())
	defer session.Close()

	for _, path := range []string{"/open/door", "/closed"} {
		result := session.Do(context.Background(), &fetch.Request{URL: upstream.URL + path})
		if result.Err != nil {
			fmt.Println(result.State, result.Err.Code)
			continue
		}
		fmt.Println(result.State, result.Response.Status, string(result.Response.Body))
	}
	fmt.Println(session.Usage().Requests, "request")
	// Output:
	// fulfilled 200 hello from /open/door
	// rejected host_denied
	// 1 request
}

// The first of several mirrors to answer wins; the others are cancelled.
func ExampleSession_Group() {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	defer upstream.Close()

	engine := fetch.New(fetch.Config{})
	defer engine.Close()
	client, err := engine.Client(fetch.Policy{
		Rules:   []manifest.Rule{{URL: upstream.URL, Private: true}},
		Private: []string{"127.0.0.1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := client.Session(context.Background())
	defer session.Close()

	results := session.Group(context.Background(), &fetch.Group{
		Mode:     fetch.Any,
		Timeout:  10 * time.Second,
		Requests: []*fetch.Request{{URL: upstream.URL + "/slow"}, {URL: upstream.URL + "/fast"}},
	})
	for _, r := range results {
		fmt.Println(r.State)
	}
	// Output:
	// cancelled
	// fulfilled
}
