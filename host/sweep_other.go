//go:build !linux

package host

import (
	"io/fs"
	"time"
)

// lastUsed is when a file was written last.
func lastUsed(info fs.FileInfo) time.Time { return info.ModTime() }
