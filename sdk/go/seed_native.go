//go:build !wasip1

package sortie

import "crypto/rand"

func seed() (s [32]byte) {
	_, _ = rand.Read(s[:]) // never fails: it ends the program instead
	return s
}
