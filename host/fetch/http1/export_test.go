package http1

import "io"

// Quiet tells whether nothing has come over an idle connection.
func (c *Conn) Quiet() bool { return c.peek.quiet() }

// Encode writes a request.
func (r *Request) Encode(w io.Writer) error { return r.write(w) }
