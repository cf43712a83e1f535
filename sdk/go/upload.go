package sortie

import (
	"io"
	"sync"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

// upload is a request's BodyReader under way. It keeps what the host can't tell: why the reader failed. A nil one is no body.
type upload struct {
	_    host.NoCompare
	from io.Reader
	once sync.Once

	mu  sync.Mutex
	err error
}

// send makes a reader the body of a fetch. One that is known to be empty is none.
func send(f *host.Fetch, from io.Reader) {
	body := &upload{from: from}
	if l, ok := from.(interface{ Len() int }); ok {
		if f.BodyLength = int64(l.Len()); f.BodyLength <= 0 {
			body.close()
			return
		}
	}
	f.BodyReader = body
}

// over ends the body of a fetch that is over: the plugin may be writing into a pipe.
func over(f *host.Fetch) {
	body, _ := f.BodyReader.(*upload)
	body.close()
}

// Read is the host's.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.from.Read(p)
	if err != nil && err != io.EOF {
		u.mu.Lock()
		u.err = err
		u.mu.Unlock()
	}
	return n, err
}

// Close is the host's, too. It may be called while Read waits.
func (u *upload) Close() error {
	u.close()
	return nil
}

func (u *upload) close() {
	if u == nil {
		return
	}
	u.once.Do(func() {
		if c, ok := u.from.(io.Closer); ok {
			_ = c.Close()
		}
	})
}

// failure is why reading failed.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}
