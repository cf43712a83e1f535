//go:build !unix

package memory

func reserve(n uint64) (b []byte, mapped bool) { return make([]byte, n), false }

func release([]byte) {}
