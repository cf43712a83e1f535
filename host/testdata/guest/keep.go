package main

import (
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/sortie-run/sortie/sdk/go"
)

// What plants a secret, and what searches for it afterwards. The secret is eight bytes, never in the guest as such while it is searched for.

var (
	kept    uint64             // a global
	keptMap = map[string]any{} // and what hangs on it
	wait    = make(chan struct{})
)

// plant leaves the secret in a global, the heap, garbage, a waiting goroutine's stack, this one's stack, and the pages that the memory grows
// by.
func plant(secret uint64) (*sortie.Response, error) {
	kept = secret
	keptMap["secret"] = []uint64{secret, secret}
	keptMap[strconv.FormatUint(secret, 10)] = secret
	for range 100 {
		heap(secret, 1000)
	}
	go func() {
		here := [4]uint64{secret, secret, secret, secret}
		<-wait
		keptMap["here"] = here
	}()
	runtime.Gosched()
	deep(secret, 1000)
	if secret%8 == 0 { // growing costs the instance
		keptMap["large"] = heap(secret, 2<<20)
	}
	return sortie.Text("planted"), nil
}

func heap(secret uint64, n int) []uint64 {
	b := make([]uint64, n)
	for i := range b {
		b[i] = secret
	}
	return b
}

//go:noinline
func deep(secret uint64, n int) uint64 {
	local := [8]uint64{secret, secret}
	if n > 0 {
		local[n%8] ^= deep(secret, n-1)
	}
	return local[0]
}

// search looks at every word of the memory. The secret comes xored with mask, and so is compared.
func search(masked []byte) (*sortie.Response, error) {
	const mask = 0x5aa5_1234_8765_a55a
	want := binary.LittleEndian.Uint64(masked)
	found := 0
	if kept^mask == want || len(keptMap) > 0 {
		found++
	}
	size := memorySize()
	for at := uintptr(8); at+8 <= size; at += 8 {
		if *(*uint64)(unsafe.Pointer(at))^mask == want {
			found++
		}
	}
	return sortie.Text(fmt.Sprint(found)), nil
}

// memorySize is the end of the memory, as far as Go's runtime has had it: beyond its heap's arenas there is nothing of it.
func memorySize() uintptr {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return uintptr(m.Sys)
}

// randoms is one number of each source of randomness, and the order in which a map is ranged over.
func randoms() (*sortie.Response, error) {
	var b [8]byte
	_, _ = crand.Read(b[:])
	m := map[int]int{}
	for i := range 20 {
		m[i] = i
	}
	var order []int
	for i := range m {
		order = append(order, i)
	}
	return sortie.JSON(200, map[string]any{
		"crypto": hex.EncodeToString(b[:]), "sortie": sortie.Rand.Uint64(), "global": rand.Uint64(), "map": fmt.Sprint(order),
	}), nil
}

// transcode decodes JSON and encodes it again.
func transcode(body []byte) (*sortie.Response, error) {
	var v struct {
		Name  string
		Items []struct {
			ID    int
			Tags  []string
			Price float64
		}
		OK bool
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	return sortie.JSON(200, v), nil
}
