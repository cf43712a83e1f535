package wasi

import (
	"encoding/binary"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/sortie-run/sortie/host/internal/guest"
)

// Layout of poll_oneoff's arrays, in bytes: a subscription is userdata u64, type u8 at 8, and from 16 either a clock (id u32,
// timeout u64 at 24, precision u64, flags u16 at 40) or a descriptor u32. An event is userdata u64, error u16 at 8, type u8 at
// 10, then from 16 bytes u64 and flags u16.
const (
	subscriptionSize = 48
	eventSize        = 32

	eventClock  = 0
	eventRead   = 1
	eventWrite  = 2
	flagAbstime = 1

	// maxSubscriptions bounds one poll. Go's netpoll needs one for a clock and one for each descriptor.
	maxSubscriptions = 1024
)

// poller gathers what one poll_oneoff asks for.
type poller struct {
	events   []byte // the events to report, encoded
	readSub  uint64 // userdata of the subscription to the event descriptor
	wantRead bool
	clocks   []timer
}

type timer struct {
	userdata uint64
	due      time.Time
}

// pollOneoff: stack [in*, out*, n, nevents*] -> errno
//
// It returns when a clock runs out, when a handle has settled that the event descriptor hasn't told yet, or at once for anything
// that is always ready. The end of the invocation ends the guest inside it.
func pollOneoff(c *guest.Call, stack []uint64) {
	n := uint32(stack[2])
	if n == 0 || n > maxSubscriptions {
		stack[0] = eInval
		return
	}
	in, ok1 := c.View(uint32(stack[0]), n*subscriptionSize)
	out, ok2 := c.View(uint32(stack[1]), n*eventSize)
	if _, ok3 := c.View(uint32(stack[3]), 4); !ok1 || !ok2 || !ok3 {
		stack[0] = eFault
		return
	}
	var p poller
	for ; len(in) > 0; in = in[subscriptionSize:] {
		p.subscribe(in[:subscriptionSize])
	}
	p.wait(c)
	// The guest stood still meanwhile, so out is where it was.
	copy(out, p.events)
	put32(c, uint32(stack[3]), uint32(len(p.events)/eventSize))
	stack[0] = success
}

func (p *poller) subscribe(s []byte) {
	userdata := binary.LittleEndian.Uint64(s)
	switch s[8] {
	case eventClock:
		p.clock(userdata, s)
	case eventRead:
		switch fd := binary.LittleEndian.Uint32(s[16:]); fd {
		case eventsFD:
			p.readSub, p.wantRead = userdata, true
		case 0:
			p.report(userdata, success, eventRead)
		default:
			p.report(userdata, eBadf, eventRead)
		}
	case eventWrite:
		e := uint16(eBadf)
		if fd := binary.LittleEndian.Uint32(s[16:]); fd == 1 || fd == 2 {
			e = success
		}
		p.report(userdata, e, eventWrite)
	default:
		p.report(userdata, eInval, s[8])
	}
}

func (p *poller) clock(userdata uint64, s []byte) {
	id := binary.LittleEndian.Uint32(s[16:])
	timeout := binary.LittleEndian.Uint64(s[24:])
	t, ok := now(id)
	if !ok {
		p.report(userdata, eInval, eventClock)
		return
	}
	if binary.LittleEndian.Uint16(s[40:])&flagAbstime != 0 {
		timeout -= min(timeout, t)
	}
	// What doesn't fit a Duration is centuries away; the invocation ends before.
	p.clocks = append(p.clocks, timer{userdata, time.Now().Add(time.Duration(min(timeout, 1<<62)))})
}

func (p *poller) report(userdata uint64, e uint16, kind byte) {
	var ev [eventSize]byte
	binary.LittleEndian.PutUint64(ev[:], userdata)
	binary.LittleEndian.PutUint16(ev[8:], e)
	ev[10] = kind
	p.events = append(p.events, ev[:]...)
}

// wait blocks until there is an event to report.
func (p *poller) wait(c *guest.Call) {
	for {
		flying := p.collect(c)
		if len(p.events) > 0 {
			c.StopIfDone()
			return
		}
		if c.Settling && !flying {
			p.settle(c)
			continue
		}
		if len(p.clocks) == 0 && !flying {
			// Nothing in flight and no clock: nobody can ever wake this guest.
			c.Failure = "every thread of the plugin waits, and nothing is in flight that could wake one"
			panic(sys.NewExitError(deadlock))
		}
		c.Blocking(func() { p.block(c) })
	}
}

// settleTime is how long timers may take to run out before a guest's memory is saved. Go's own, which its collector leaves behind, take
// some milliseconds, or as much more as the machine was busy while it worked: it then rests for a hundred times what it took.
const settleTime = time.Second

// settle tells a guest that is to come to rest that all of it waits, once its timers have run out or are longer than that.
func (p *poller) settle(c *guest.Call) {
	if due, ok := p.first(); ok && time.Until(due) < settleTime && c.Waited() < settleTime {
		c.Blocking(func() { p.block(c) })
		return
	}
	c.Busy = len(p.clocks) > 0
	c.Settling = false
	c.Handles.Idle()
}

// deadlock is the exit code for a guest that can't go on; Go's own for that is 2 as well.
const deadlock = 2

func (p *poller) collect(c *guest.Call) (flying bool) {
	if p.wantRead {
		var ready bool
		if ready, flying = c.Handles.Pending(); ready {
			p.report(p.readSub, success, eventRead)
		}
	}
	at := time.Now()
	for _, t := range p.clocks {
		if !t.due.After(at) {
			p.report(t.userdata, success, eventClock)
		}
	}
	return flying
}

func (p *poller) block(c *guest.Call) {
	var expired <-chan time.Time
	if due, ok := p.first(); ok {
		t := time.NewTimer(time.Until(due))
		defer t.Stop()
		expired = t.C
	}
	var moved <-chan struct{}
	if p.wantRead {
		moved = c.Handles.Moved()
	}
	select {
	case <-moved:
	case <-expired:
	case <-c.Context().Done():
	}
}

func (p *poller) first() (due time.Time, ok bool) {
	for _, t := range p.clocks {
		if !ok || t.due.Before(due) {
			due, ok = t.due, true
		}
	}
	return due, ok
}
