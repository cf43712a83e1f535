package cache

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func browserLike() http.Header {
	return http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate, br, zstd"}, "User-Agent": {"sortie"}, "Authorization": {"Bearer 0123456789abcdef0123456789abcdef"},
	}
}

func BenchmarkHit(b *testing.B) {
	for _, vary := range []string{"", "Accept-Encoding", "Accept, Accept-Encoding, Authorization"} {
		b.Run("vary="+vary, func(b *testing.B) {
			c := New(Config{Bytes: 1 << 20})
			defer c.Close()
			r := &Request{Method: "GET", URL: "https://api.example.com/v1/things/1234567890?expand=all", Header: browserLike(), Credentials: []string{"X-Api-Key"}}
			now := time.Now()
			c.Store(r, 200, http.Header{"Cache-Control": {"max-age=3600"}, "Vary": {vary}}, nil, nil, now, now)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if l := c.Lookup(r); l.State != Fresh {
						b.Error(l.State)
					}
				}
			})
		})
	}
}

func BenchmarkAnswer(b *testing.B) {
	bed := newBed(b)
	e, _ := bed.put(`Cache-Control: max-age=60 | Etag: "a" | Content-Type: text/plain | Server: x | Vary: Accept`)
	b.ReportAllocs()
	for b.Loop() {
		e.Answer(bed.t)
	}
}

func BenchmarkStore(b *testing.B) {
	c := New(Config{Bytes: 1 << 20})
	defer c.Close()
	now := time.Now()
	requests := make([]*Request, 4096) // more than there is room for
	for i := range requests {
		requests[i] = &Request{Method: "GET", URL: fmt.Sprint("https://api.example.com/", i), Header: browserLike()}
	}
	header := http.Header{"Cache-Control": {"max-age=3600"}, "Content-Type": {"text/plain"}, "Etag": {`"a"`}, "Vary": {"Accept-Encoding"}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Store(requests[i%len(requests)], 200, header, nil, nil, now, now)
	}
}

func BenchmarkJoin(b *testing.B) {
	c := New(Config{})
	defer c.Close()
	r := &Request{Method: "GET", URL: "https://api.example.com/", Header: browserLike()}
	b.ReportAllocs()
	for b.Loop() {
		turn, _, _ := c.Join(b.Context(), r)
		turn.Fail()
	}
}

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		New(Config{Bytes: 1 << 20}).Close()
	}
}
