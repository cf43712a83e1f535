//go:build !wasip1

package sortie

func warmup(f func()) { f() }
