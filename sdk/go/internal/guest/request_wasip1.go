package guest

import (
	"fmt"
	"io"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
	"github.com/sortie-run/sortie/sdk/go/internal/wire"
)

// asked says that the host lets invocations begin before their request's body is here.
var asked bool

// StreamRequest asks the host for that. It works while the instance is being initialised only; later, the body that is read is one that has
// come.
func StreamRequest() { asked = hostStreamRequest() >= 0 || asked }

// crossing is what most encodings fit into, both ways: an instance serves one invocation at a time.
var crossing [4 << 10]byte

// request reads the request that the invocation is for.
func (inv *invocation) request(streams bool) (*host.Inbound, error) {
	head, result := sized(crossing[:0], hostRequest)
	if result < 0 {
		return nil, fmt.Errorf("reading the request: errno %d", -result)
	}
	in, length, left, err := wire.DecodeRequest(head)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if left > 0 {
		inv.deadline = time.Now().Add(left)
	}
	inv.buf = head[:0]
	if !streams && !asked {
		in.Body = whole(length, hostReadRequest)
		return in, nil
	}
	handle := hostOpenRequest()
	if handle <= 0 {
		return nil, fmt.Errorf("opening the request's body: errno %d", -handle)
	}
	body := &reader{inv: inv, handle: uint32(handle)}
	if streams {
		in.BodyReader = body
	} else if in.Body, err = io.ReadAll(body); err != nil { // a Handle after a HandleStream
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	return in, nil
}
