// Command bench is a guest of BenchmarkFuel: what plugins do, and what they could do, each as many times as they are told.
package main

import (
	"encoding/json"
	"sort"
	"strings"
)

func main() {}

var text = []byte(`{"id":12345,"name":"A product with a name","price":12.5,"tags":["one","two","three","four"],"stock":{"here":12,"there":0},` +
	`"reviews":[{"by":"somebody","stars":5,"text":"Very good, I would buy it again"},{"by":"somebody else","stars":1,"text":"Broke"}]}`)

type product struct {
	ID      int
	Name    string
	Price   float64
	Tags    []string
	Stock   map[string]int
	Reviews []struct {
		By    string
		Stars int
		Text  string
	}
}

//go:wasmexport json
func decode(n int32) (sum int32) {
	for range n {
		var p product
		if err := json.Unmarshal(text, &p); err != nil {
			panic(err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			panic(err)
		}
		sum += int32(len(b))
	}
	return sum
}

//go:wasmexport any
func decodeAny(n int32) (sum int32) {
	for range n {
		var p any
		if err := json.Unmarshal(text, &p); err != nil {
			panic(err)
		}
		sum += int32(len(p.(map[string]any)))
	}
	return sum
}

//go:wasmexport sort
func sorted(n int32) (sum int32) {
	s := make([]int, 1000)
	for range n {
		for i := range s {
			s[i] = (i * 7919) % 1009
		}
		sort.Ints(s)
		sum += int32(s[500])
	}
	return sum
}

//go:wasmexport copies
func copies(n int32) (sum int32) {
	from, to := make([]byte, 64), make([]byte, 64)
	for i := range n * 100 {
		sum += int32(copy(to[i&15:], from[:i&31]))
	}
	return sum
}

//go:wasmexport strings
func replace(n int32) (sum int32) {
	for range n {
		s := strings.ToUpper(string(text))
		s = strings.ReplaceAll(s, "SOMEBODY", "nobody")
		sum += int32(len(strings.Split(s, ",")))
	}
	return sum
}

//go:wasmexport add
func add(n int32) (sum int32) {
	for i := range n * 1000 {
		sum += i ^ sum
	}
	return sum
}
