package image

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Support is the method that New uses here unless another is asked for, and why it's none that is cheaper; nil for Watch. It's None
// where an image can't be saved.
func Support() (Method, error) {
	i := &Image{size: os.Getpagesize()}
	if err := errors.Join(i.save(make([]byte, i.size)), i.Close()); err != nil {
		return None, err
	}
	method := best()
	switch method {
	case Watch:
		return method, nil
	case Scan:
		_, err := watcher()
		return method, err
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return method, err
	}
	defer func() { _ = unix.Munmap(page) }()
	_, _, err = pages(page, theirs, new([scanned]region))
	return method, err
}
