package sortiehttp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// prices stands for a package that knows nothing of Sortie: all it wants is an *http.Client.
type prices struct{ client *http.Client }

func (p prices) of(r *http.Request, what string) (price int, err error) {
	req, err := http.NewRequestWithContext(r.Context(), "GET", "https://api.example.com/prices/"+what, nil)
	if err != nil {
		return 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return price, json.NewDecoder(resp.Body).Decode(&price)
}

func show(w http.ResponseWriter, r *http.Request) {
	api := prices{sortiehttp.Client(sortie.WithTimeout(time.Second))}
	price, err := api.of(r, r.PathValue("what"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "%s costs %d", r.PathValue("what"), price)
}

func Example() {
	t := &testing.T{} // a test is given it

	// In a plugin these three lines are in an init function.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{what}", show)
	sortiehttp.Serve(mux)

	h := sortietest.New(t)
	h.Reply("https://api.example.com/prices/tea", sortietest.Reply{JSON: 3})
	resp, err := h.Invoke("GET", "/tea")
	fmt.Println(resp.Status, resp.Text(), err)
	resp, err = h.Invoke("POST", "/tea")
	fmt.Println(resp.Status, resp.Header.Get("Allow"), err)
	// Output:
	// 200 tea costs 3 <nil>
	// 405 GET, HEAD <nil>
}

// A library that makes a client of its own uses http.DefaultTransport.
func ExampleTransport() {
	http.DefaultTransport = &sortiehttp.Transport{Options: []sortie.Option{sortie.WithRetry(sortie.Retry{Attempts: 3})}}
}
