package fetch

import (
	"sync/atomic"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// budget is what is left of a session's counted limits.
type budget struct {
	maxRequests int64
	maxBytes    int64
	requests    atomic.Int64
	bytes       atomic.Int64
}

// takeRequest charges one attempt or hop.
func (b *budget) takeRequest() *failure.Error {
	for {
		used := b.requests.Load()
		if used >= b.maxRequests {
			return failure.New(failure.LimitRequests, "requests is %d and %d are used up; one more was asked for", b.maxRequests, used)
		}
		if b.requests.CompareAndSwap(used, used+1) {
			return nil
		}
	}
}

// refundRequest takes back a charge for a request that was never sent.
func (b *budget) refundRequest() { b.requests.Add(-1) }

// takeBytes charges decoded bytes of a response.
func (b *budget) takeBytes(n int64) *failure.Error {
	if used := b.bytes.Add(n); used > b.maxBytes {
		b.bytes.Add(-n)
		return b.overBytes(used)
	}
	return nil
}

// fitsBytes tells beforehand whether a body of n bytes could be charged.
func (b *budget) fitsBytes(n int64) *failure.Error {
	if used := b.bytes.Load() + n; used > b.maxBytes {
		return b.overBytes(used)
	}
	return nil
}

func (b *budget) overBytes(asked int64) *failure.Error {
	return failure.New(failure.LimitBytes, "total_bytes is %d; with this response it would be %d or more", b.maxBytes, asked)
}

func (b *budget) usage() Usage {
	return Usage{Requests: int(b.requests.Load()), Bytes: b.bytes.Load()}
}
