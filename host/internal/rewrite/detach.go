package rewrite

// Segment is an active data segment of memory 0.
type Segment struct {
	Offset uint64
	Bytes  []byte
}

// detach takes active data segments and the start function out, so that instances from an image needn't be filled and started for
// nothing. It leaves all as it is where instantiating the module would fail on a segment, or one's place isn't a constant.
func (w *writer) detach() {
	segments, rest, ok := w.m.apart(w.bodies[sectionData])
	if !ok {
		return
	}
	w.out.Data, w.out.Detached = segments, true
	delete(w.bodies, sectionData)
	if rest != nil {
		w.bodies[sectionData] = rest
	}
}

// apart returns the active segments, and a section in which they are empty and passive: that is how instructions that name them see them once
// they have been applied. Where no instruction can name one (there is no data count), there is no section.
func (m *Module) apart(body []byte) (segments []Segment, rest []byte, ok bool) {
	if body == nil {
		return nil, nil, true
	}
	if joined := merged(body); joined != nil && !m.dataCount {
		body = joined
	}
	r := &reader{data: body}
	n := uint64(0)
	ok = true
	r.vector(func(int) {
		n++
		flags := r.u32()
		if flags == 1 {
			rest = appendName(append(rest, 1), r.bytes(r.u32()))
			return
		}
		if flags == 2 {
			ok = ok && r.u32() == 0
		}
		ok = ok && r.byte() == opI32Const
		if !ok {
			r.fail(errApart)
			return
		}
		s := Segment{Offset: uint64(uint32(r.signed(32)))}
		ok = r.byte() == opEnd
		s.Bytes = r.bytes(r.u32())
		ok = ok && len(m.Memories) == 1 && s.Offset+uint64(len(s.Bytes)) <= m.Memories[0].Min<<16
		if len(s.Bytes) > 0 {
			segments = append(segments, s)
		}
		rest = append(rest, 1, 0)
	})
	if r.err != nil || !ok {
		return nil, nil, false
	}
	if !m.dataCount {
		return segments, nil, true
	}
	return segments, append(appendLEB(nil, n), rest...), true
}
