package http1

// Quiet tells whether nothing has come over an idle connection.
func (c *Conn) Quiet() bool { return c.peek.quiet() }

// Encode is what is sent.
func (r *Request) Encode() (string, error) {
	b, err := r.append(nil)
	return string(b), err
}
