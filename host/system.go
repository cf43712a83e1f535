package host

import "github.com/sortie-run/sortie/host/internal/image"

// Cleaning tells how instances get clean again after an invocation on this system, and why that isn't done in a cheaper way: "watch"
// (userfaultfd), of which there is no cheaper one and the error is nil; "scan" (PAGEMAP_SCAN); "refault" and "copy", for kernels
// before Linux 6.7 and other systems; and "none" where an image can't be kept (memfd_create), so that every invocation gets a new instance.
func Cleaning() (method string, why error) {
	m, why := image.Support()
	return m.String(), why
}
