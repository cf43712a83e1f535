package host

import (
	"io/fs"
	"syscall"
	"time"
)

// lastUsed is when a file was read or written last. Most file systems are mounted so that reading is noted once a day.
func lastUsed(info fs.FileInfo) time.Time {
	used := info.ModTime()
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		if read := time.Unix(s.Atim.Unix()); read.After(used) {
			used = read
		}
	}
	return used
}
