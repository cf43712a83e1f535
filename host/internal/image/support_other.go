//go:build !linux

package image

import "errors"

// Support is the method that New uses here unless another is asked for, and why it's none that is cheaper.
func Support() (Method, error) {
	return best(), errors.New("only Linux tells which pages were written to")
}
