package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/extism/go-pdk"
)

// handle fetches every URL of the input, a JSON array, at once, and answers what fetch_all answered.
//
//go:wasmexport handle
func handle() int32 {
	b, err := newBatch(pdk.Input(), pdk.GetConfig)
	if err != nil {
		return failed(err)
	}
	pdk.Log(pdk.LogInfo, fmt.Sprintf("fetching %d URLs", len(b.Requests)))
	answer, err := send(b)
	if err != nil {
		return failed(err)
	}
	pdk.Output(answer)
	return 0
}

// httpAnswer is what http_one says of one exchange.
type httpAnswer struct {
	Status  uint16            `json:"status"` // 0: denied or failed, and the invocation's report holds the reason
	Length  int               `json:"length"` // of the body, in bytes
	Headers map[string]string `json:"headers"`
}

// httpOne fetches the URL in the input with the PDK's own request. Extism's call has no place for an error: status 0 stands
// for all of them.
//
//go:wasmexport http_one
func httpOne() int32 {
	response := pdk.NewHTTPRequest(pdk.MethodGet, pdk.InputString()).Send()
	if response.Status() == 0 {
		pdk.Log(pdk.LogWarn, "the fetch was denied or failed")
		return output(httpAnswer{Headers: map[string]string{}})
	}
	return output(httpAnswer{response.Status(), len(response.Body()), response.Headers()})
}

// httpEach fetches every URL of the input, a JSON array, the only way Extism has: one after the other.
//
//go:wasmexport http_each
func httpEach() int32 {
	var urls []string
	if err := json.Unmarshal(pdk.Input(), &urls); err != nil {
		return failed(errInput)
	}
	statuses := make([]int, len(urls))
	for i, url := range urls {
		response := pdk.NewHTTPRequest(pdk.MethodGet, url).Send()
		statuses[i] = int(response.Status())
	}
	return output(statuses)
}

//go:wasmexport echo
func echo() int32 {
	pdk.Output(pdk.Input())
	return 0
}

//go:wasmexport fail
func fail() int32 {
	return failed(errors.New("this export always fails"))
}

// vars counts in an Extism variable and answers the count. It is 1 every time: no invocation sees what another has left.
//
//go:wasmexport vars
func vars() int32 {
	count := pdk.GetVarInt("count") + 1
	pdk.SetVarInt("count", count)
	return output(count)
}
