//go:build !unix || aix

package http1

import "net"

// Able tells whether connections can be kept here: whether the system tells what has come over one without taking it.
const Able = false

type peeker struct{}

func (*peeker) of(net.Conn) {}
func (*peeker) able() bool  { return false }
func (*peeker) quiet() bool { return false }
