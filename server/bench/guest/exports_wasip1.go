package main

import (
	"encoding/json"

	"github.com/extism/go-pdk"
)

// input is the request's query.
type input struct {
	ID  string `json:"id"`
	N   int    `json:"n"`
	URL string `json:"url"`
}

// fanned is what became of a fan-out: how many fetches answered 200, and the bytes of their bodies together.
type fanned struct {
	ID    string `json:"id"`
	OK    int    `json:"ok"`
	Bytes int    `json:"bytes"`
}

//go:wasmexport fan
func fan() int32 {
	in, err := read()
	if err != nil {
		return failed(err)
	}
	sum := fanned{ID: in.ID}
	for range in.N {
		response := pdk.NewHTTPRequest(pdk.MethodGet, in.URL).Send()
		if response.Status() == 200 {
			sum.OK++
			sum.Bytes += len(response.Body())
		}
	}
	return output(sum)
}

//go:wasmexport pass
func pass() int32 {
	in, err := read()
	if err != nil {
		return failed(err)
	}
	pdk.Output(pdk.NewHTTPRequest(pdk.MethodGet, in.URL).Send().Body())
	return 0
}

//go:wasmexport trivial
func trivial() int32 {
	in, err := read()
	if err != nil {
		return failed(err)
	}
	return output(map[string]string{"id": in.ID})
}

func read() (input, error) {
	var in input
	err := json.Unmarshal(pdk.Input(), &in)
	return in, err
}

func output(v any) int32 {
	data, err := json.Marshal(v)
	if err != nil {
		return failed(err)
	}
	pdk.Output(data)
	return 0
}

// failed reports err as the call's error; its result is what the export returns.
func failed(err error) int32 {
	pdk.SetError(err)
	return 1
}
