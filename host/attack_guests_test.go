package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The attackers are guests that send whatever they are told to, byte for byte: the tests' own ones ask for a URL at most. They are built
// outside the tree from what stands here.

// rawAttacker has no SDK. Its input is a letter and what goes with it: "A" and the JSON that fetch_all gets, "S" and a list of such, or "E" and the requests of as
// many http_request calls, each a pair of the JSON and the body. The answer to these is a list of [offset is 0, status, body].
const rawAttacker = `package main

import (
	"encoding/json"

	"github.com/extism/go-pdk"
)

func main() {}

//go:wasmimport extism:host/user fetch_all
func fetchAll(offset uint64) uint64

//go:wasmimport extism:host/env http_request
func httpRequest(request, body uint64) uint64

//go:wasmimport extism:host/env http_status_code
func httpStatusCode() int32

//go:wasmexport handle
func handle() int32 {
	input := pdk.Input()
	if input[0] == 'A' {
		in := pdk.AllocateBytes(input[1:])
		out := pdk.FindMemory(fetchAll(in.Offset()))
		pdk.Output(out.ReadBytes())
		return 0
	}
	if input[0] == 'S' {
		var steps, answers []json.RawMessage
		if err := json.Unmarshal(input[1:], &steps); err != nil {
			pdk.SetError(err)
			return 1
		}
		for _, step := range steps {
			in := pdk.AllocateBytes(step)
			out := pdk.FindMemory(fetchAll(in.Offset()))
			answers = append(answers, out.ReadBytes())
		}
		out, err := json.Marshal(answers)
		if err != nil {
			pdk.SetError(err)
			return 1
		}
		pdk.Output(out)
		return 0
	}
	var calls [][2][]byte
	if err := json.Unmarshal(input[1:], &calls); err != nil {
		pdk.SetError(err)
		return 1
	}
	var answers [][3]any
	for _, call := range calls {
		var body uint64
		if len(call[1]) > 0 {
			block := pdk.AllocateBytes(call[1])
			body = block.Offset()
		}
		request := pdk.AllocateBytes(call[0])
		offset := httpRequest(request.Offset(), body)
		status, text := httpStatusCode(), ""
		if offset != 0 {
			answer := pdk.FindMemory(offset)
			text = string(answer.ReadBytes())
			answer.Free()
		}
		answers = append(answers, [3]any{offset == 0, status, text})
	}
	out, err := json.Marshal(answers)
	if err != nil {
		pdk.SetError(err)
		return 1
	}
	pdk.Output(out)
	return 0
}
`

// sdkAttacker fetches what its request's body lists: one after the other, or, where the path is /group, as a group.
const sdkAttacker = `package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/sortie-run/sortie/sdk/go"
)

func main() {}

func init() { sortie.Handle(handle) }

// request holds bytes and not text, since JSON would mend it.
type request struct {
	Method, URL, Body []byte
	Header            [][2][]byte
}

type outcome struct {
	State, Code, Body string
	Status            int
}

func handle(ctx context.Context, req *sortie.Request) (*sortie.Response, error) {
	var list []request
	if err := json.Unmarshal(req.Body, &list); err != nil {
		return nil, err
	}
	requests := make([]*sortie.Request, len(list))
	for i, r := range list {
		requests[i] = &sortie.Request{Method: string(r.Method), URL: string(r.URL), Body: r.Body}
		for _, f := range r.Header {
			if requests[i].Header == nil {
				requests[i].Header = sortie.Header{}
			}
			requests[i].Header[string(f[0])] = append(requests[i].Header[string(f[0])], string(f[1]))
		}
	}
	var outcomes []outcome
	if req.Path == "/group" {
		for _, r := range sortie.AllSettled(ctx, requests) {
			outcomes = append(outcomes, toOutcome(r.State.String(), r.Response, r.Err))
		}
		return sortie.JSON(200, outcomes), nil
	}
	for _, r := range requests {
		var resp *sortie.Response
		var err error
		if r.Method == "" && r.Header == nil && r.Body == nil {
			resp, err = sortie.Get(ctx, r.URL)
		} else {
			resp, err = sortie.Fetch(ctx, r)
		}
		state := "fulfilled"
		if err != nil {
			state = "rejected"
		}
		outcomes = append(outcomes, toOutcome(state, resp, err))
	}
	return sortie.JSON(200, outcomes), nil
}

func toOutcome(state string, resp *sortie.Response, err error) outcome {
	o := outcome{State: state}
	if e, ok := errors.AsType[*sortie.Error](err); ok {
		o.Code = string(e.Code)
	} else if err != nil {
		o.Code = "untyped"
	}
	if resp != nil {
		o.Status, o.Body = resp.Status, string(resp.Body)
	}
	return o
}
`

// attackers writes both guests to folders that hosttest.Build takes.
func attackers(t *testing.T) (raw, sdk string) {
	t.Helper()
	sum, err := os.ReadFile(filepath.Join(rawDir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(rawDir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	raw = folder(t, map[string]string{"main.go": rawAttacker, "go.mod": string(mod), "go.sum": string(sum)})
	sdk = folder(t, map[string]string{"main.go": sdkAttacker, "go.mod": sdkModule(t)})
	return raw, sdk
}

// sdkModule is the go.mod of a guest that uses the SDK.
func sdkModule(t *testing.T) string {
	t.Helper()
	source, err := filepath.Abs("../sdk/go")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("module guest\n\ngo 1.26\n\nrequire github.com/sortie-run/sortie/sdk/go v0.0.0\n\nreplace github.com/sortie-run/sortie/sdk/go => %s\n", source)
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
