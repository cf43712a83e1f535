package main

import (
	"encoding/json"

	"github.com/extism/go-pdk"
)

// fetchAll is Sortie's host function for Extism plugins: the offset of a memory block with JSON in, the offset of another out.
// It never traps; a call that can't be run at all answers {"error":{"code","message"}}.
//
//go:wasmimport extism:host/user fetch_all
func fetchAll(offset uint64) uint64

// send runs the batch and returns the host's answer as it is: {"results":[…],"usage":{…}}.
func send(b batch) ([]byte, error) {
	in, err := pdk.AllocateJSON(b)
	if err != nil {
		return nil, err
	}
	defer in.Free()
	out := pdk.FindMemory(fetchAll(in.Offset()))
	defer out.Free()
	return out.ReadBytes(), nil
}

// failed reports err as the invocation's error; its result is what the export returns.
func failed(err error) int32 {
	pdk.SetError(err)
	return 1
}

func output(v any) int32 {
	data, err := json.Marshal(v)
	if err != nil {
		return failed(err)
	}
	pdk.Output(data)
	return 0
}
