//go:build !wasip1

package sortie

// streamRequest has nobody to ask: package sortietest sees what was registered.
func streamRequest() {}
