package manifest_test

import (
	"encoding/json"
	"fmt"

	"github.com/sortie-run/sortie/host/manifest"
)

func ExampleParse() {
	_, err := manifest.Parse([]byte(`
name: prices
fetch:
  limits: {requsts: 128}
  allow:
    - https://api.example.com/v1/../admin
`))
	fmt.Println(err)
	// Output:
	// plugin.yaml:4:12: fetch.limits.requsts: unknown key; did you mean "requests"?
	// plugin.yaml:6:7: fetch.allow[0]: "https://api.example.com/v1/../admin": segment ".." in the path matches nothing; write the path it leads to
}

func ExampleOperator_Manifest() {
	op, err := manifest.ParseOperator([]byte(`ceilings: {fetch: {limits: {requests: 1000}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	m, clamped, err := op.Manifest([]byte(`{"name": "prices", "fetch": {"limits": {"requests": 5000}}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, _ := json.Marshal(clamped)
	fmt.Println(m.Fetch.Limits.Requests, string(answer))
	// Output: 1000 [{"key":"fetch.limits.requests","asked":"5000","got":"1000"}]
}
