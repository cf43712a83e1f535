package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/server/store"
)

// troubled is a store whose changes are made and then fail, while it's told so: as on a disk that can't be synced.
type troubled struct {
	store.Store
	failing atomic.Bool
}

var errTrouble = errors.New("the disk is in trouble")

func (s *troubled) trouble(err error) error {
	if err == nil && s.failing.Load() {
		return errTrouble
	}
	return err
}

func (s *troubled) Put(ctx context.Context, r store.PutRequest) (store.PutResult, error) {
	done, err := s.Store.Put(ctx, r)
	return done, s.trouble(err)
}

func (s *troubled) SetTraffic(ctx context.Context, r store.TrafficRequest) (store.Plugin, error) {
	p, err := s.Store.SetTraffic(ctx, r)
	return p, s.trouble(err)
}

func (s *troubled) Delete(ctx context.Context, r store.DeleteRequest) error {
	return s.trouble(s.Store.Delete(ctx, r))
}

func (s *troubled) RevokeToken(ctx context.Context, id, by string) (store.Token, error) {
	t, err := s.Store.RevokeToken(ctx, id, by)
	return t, s.trouble(err)
}

func (s *troubled) AddToken(ctx context.Context, t store.Token) error {
	return s.trouble(s.Store.AddToken(ctx, t))
}

// TestStoreInTrouble has changes fail that were made: the server does as the store has it from then on, not as it was.
func TestStoreInTrouble(t *testing.T) {
	t.Parallel()
	st := &troubled{Store: openStore(t)}
	invoke := func(_ context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		if r.Host == smokeHost && strings.HasPrefix(string(src.Wasm), "sick") {
			return &host.Response{Status: 500}, nil
		}
		return &host.Response{Status: 200, Body: src.Wasm}, nil
	}
	s := start(t, invoke, options{store: st, token: "geheim"})
	s.deployed("a", "", "one", "")
	s.deployed("a", "", "two", "?traffic=none")
	reader, id := s.newToken(`{"role":"read"}`)
	st.failing.Store(true)

	wantProblem(t, s.moves("a", `[{"version":2,"weight":100}]`), 500, "internal_error")
	if a := s.get("/p/a"); a.body != "two" {
		t.Errorf("after a move that was made: %d %s", a.StatusCode, a.body)
	}
	const smoking = "smoke: {path: /}"
	body, contentType := form("manifest", smoking, "wasm", "sick")
	wantProblem(t, s.send(http.MethodPut, "/v1/plugins/a", body, "Content-Type", contentType), 500, "internal_error")
	st.failing.Store(false)
	body, contentType = form("manifest", smoking, "wasm", "sick")
	wantProblem(t, s.send(http.MethodPut, "/v1/plugins/a", body, "Content-Type", contentType), 409, "conflict")
	if p, _ := s.shows("a"); fmt.Sprint(p.Traffic) != "[{2 100}]" || p.Versions != 3 {
		t.Errorf("a version that is sick has traffic: %v of %d versions", p.Traffic, p.Versions)
	}
	st.failing.Store(true)
	wantProblem(t, s.send(http.MethodDelete, "/v1/tokens/"+id, nil), 500, "internal_error")
	if a := s.get("/v1/plugins", "Sortie-Authorization", "Bearer "+reader); a.StatusCode != 401 && s.listed()[id].State != "revoked" {
		t.Errorf("a token that was revoked: %d", a.StatusCode)
	}
	if token, _ := s.newToken(`{"role":"read"}`); token == "" {
		t.Error("a token that was made isn't shown to anybody")
	}
	wantProblem(t, s.send(http.MethodDelete, "/v1/plugins/a", nil), 500, "internal_error")
	wantProblem(t, s.get("/p/a"), 404, "plugin_not_found")
}

// TestSlowSmokeHoldsUpNobody has as many plugins as may compile at once, and more, hang in their smoke requests: others are deployed and
// removed, and a reload doesn't wait.
func TestSlowSmokeHoldsUpNobody(t *testing.T) {
	t.Parallel()
	entered, let := make(chan struct{}, 100), make(chan struct{})
	invoke := func(_ context.Context, src host.Source, r *host.Request) (*host.Response, error) {
		if r.Host == smokeHost {
			entered <- struct{}{}
			<-let
		}
		return &host.Response{Status: 200, Body: fmt.Append(nil, src.Manifest.Fetch.Limits.Requests)}, nil
	}
	s := start(t, invoke, options{})
	s.deployed("victim", "", "one", "")
	const hanging = deploys + 3
	ended := make(chan int, hanging)
	for n := range hanging {
		go func() {
			body, contentType := form("manifest", "smoke: {path: /}\nfetch: {limits: {requests: 50}}", "wasm", fmt.Sprint("module ", n))
			ended <- s.send(http.MethodPut, fmt.Sprint("/v1/plugins/slow-", n), body, "Content-Type", contentType).StatusCode
		}()
	}
	for range hanging {
		<-entered
	}
	s.deployed("victim", "", "two", "")
	s.deployed("other", "", "three", "")
	reload(t, s, "ceilings: {fetch: {limits: {requests: 7}}}")
	if a := s.get("/p/victim"); a.body != "7" {
		t.Errorf("after the reload: %d %s", a.StatusCode, a.body)
	}
	if a := s.send(http.MethodDelete, "/v1/plugins/victim", nil); a.StatusCode != 204 {
		t.Errorf("remove: %d %s", a.StatusCode, a.body)
	}
	// A client that goes away while it waits for another's change of the same plugin gives its place up.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.plugins.changes.take(ctx, "slow-0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait without an end: %v", err)
	}
	close(let)
	for range hanging {
		if status := <-ended; status != 201 {
			t.Errorf("deploy: %d", status)
		}
	}
	// They were being deployed when the configuration changed, and were in no snapshot yet.
	for n := range hanging {
		if a := s.get(fmt.Sprint("/p/slow-", n)); a.body != "7" {
			t.Errorf("slow-%d runs under %s requests, not under the new ceiling", n, a.body)
		}
	}
	if n := len(s.plugins.changes.taken); n != 0 {
		t.Errorf("%d turns are left", n)
	}
}

// TestRefusedTablesAskNobody counts the smoke requests of changes that are refused.
func TestRefusedTablesAskNobody(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	invoke := func(_ context.Context, _ host.Source, r *host.Request) (*host.Response, error) {
		if r.Host == smokeHost {
			asked.Add(1)
		}
		return &host.Response{Status: 200}, nil
	}
	s := start(t, invoke, options{})
	s.deployed("a", "smoke: {path: /}", "one", "")
	s.deployed("a", "smoke: {path: /}", "two", "")
	before := asked.Load()
	many := "[" + strings.Repeat(`{"version":1,"weight":1},`, 1000) + `{"version":2,"weight":100}]`
	for _, table := range []string{many, `[{"version":1,"weight":50},{"version":1,"weight":50}]`, `[{"version":1,"weight":99}]`} {
		wantProblem(t, s.moves("a", table), 400, "bad_request")
	}
	wantProblem(t, s.moves("a", `[{"version":1,"weight":100}]`, "If-Match", `"1"`), 409, "conflict")
	if n := asked.Load() - before; n != 0 {
		t.Errorf("%d smoke requests for nothing", n)
	}
}

// TestSmokeCounts holds smoke requests to the plugin's quota.
func TestSmokeCounts(t *testing.T) {
	t.Parallel()
	s := start(t, says("hello"), options{
		operator: "plugins: {a: {quota: {requests: 3}}}", record: func(r *host.Report) { r.Fetches = []fetch.Record{{}} },
	})
	s.deployed("a", "smoke: {path: /}", "one", "")
	s.deployed("a", "smoke: {path: /}", "two", "")
	if a := s.rolls("a", ""); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.rolls("a", ""), 429, "rate_limited")
	wantProblem(t, s.get("/p/a"), 429, "rate_limited")
	if a := s.get("/metrics"); !strings.Contains(a.body, `sortie_fetches_total{code="ok",plugin="a"} 3`) {
		t.Error("smoke requests aren't in the metrics")
	}
}

// TestTooManyChanges bounds those of a deployer's token, and of no admin's.
func TestTooManyChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where time stands still, so that no place comes free
		s := start(t, says("hello"), options{token: "geheim", listener: newPipes()})
		s.deployed("a", "", "one", "")
		deployer, _ := s.newToken(`{"role":"deploy"}`)
		refused := 0
		for n := range changeBurst + 20 {
			if a := s.send("POST", "/v1/plugins/nobody/rollback", nil); a.StatusCode != 404 {
				t.Fatalf("the admin's change %d: %d %s", n, a.StatusCode, a.body)
			}
		}
		s.token = deployer
		for range changeBurst + 20 {
			if a := s.send("POST", "/v1/plugins/nobody/rollback", nil); a.StatusCode == 429 {
				refused++
				wantProblem(t, a, 429, "rate_limited")
			}
		}
		if refused != 20 {
			t.Errorf("%d of %d changes refused", refused, changeBurst+20)
		}
		if a := s.get("/p/a"); a.StatusCode != 200 {
			t.Errorf("invocations aren't changes: %d", a.StatusCode)
		}
		doc, mine := readDocument(t), []string{"Authorization", "Bearer " + deployer}
		for _, c := range []call{
			{"PUT", "/v1/plugins/a", "/v1/plugins/{name}", mine, "one", "application/wasm", 429},
			{"DELETE", "/v1/plugins/a", "/v1/plugins/{name}", mine, "", "", 429},
			{"PUT", "/v1/plugins/a/traffic", "/v1/plugins/{name}/traffic", mine, "[]", "", 429},
			{"POST", "/v1/plugins/a/rollback", "/v1/plugins/{name}/rollback", mine, "", "", 429},
		} {
			conform(t, s, doc, c)
		}
	})
}
