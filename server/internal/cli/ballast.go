package cli

import "os"

// ballast is memory that a server holds and never touches, so that the machine gives none for it: Go's collector, which runs when the heap has
// doubled, runs as seldom as if the heap were so much larger. It is nil if the environment tells the collector how to work. See host/RATIONALE.md,
// "Why does a server hold memory that it never touches?".
func ballast(processMemory int64) []byte {
	const most, part = 128 << 20, 16
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, min(most, processMemory/part))
}
