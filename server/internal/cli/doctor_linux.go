package cli

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitOfFiles is how many files this process may have open. Go has raised it to the most that it may set itself.
func limitOfFiles() (uint64, bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return limit.Cur, err == nil
}

// limitOfAddresses is how many bytes this process may address; false if there is no limit.
func limitOfAddresses() (uint64, bool) {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_AS, &limit)
	return limit.Cur, err == nil && limit.Cur != unix.RLIM_INFINITY
}

// limitOfMemory is the least that the process's cgroups allow it, or what the machine has, and whose it is.
func limitOfMemory(root fs.FS) (least uint64, whose string, ok bool) {
	if text, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 1 && words[0] == "MemTotal:" {
				kib, err := strconv.ParseUint(words[1], 10, 44)
				least, whose, ok = kib<<10, "the machine", err == nil
			}
		}
	}
	for _, text := range cgroupFiles(root, "memory", "memory.max", "memory.limit_in_bytes") {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && (!ok || n < least) { // "max" is none
			least, whose, ok = n, "the cgroup", true
		}
	}
	return least, whose, ok
}

// quotaOfProcessors is how many processors the process's cgroups let it have; false if that isn't limited.
func quotaOfProcessors(root fs.FS) (least float64, ok bool) {
	for _, text := range cgroupFiles(root, "cpu", "cpu.max", "") {
		words := strings.Fields(text)
		if len(words) != 2 {
			continue
		}
		quota, err := strconv.ParseFloat(words[0], 64)
		period, bad := strconv.ParseFloat(words[1], 64)
		if err == nil && bad == nil && period > 0 && (!ok || quota/period < least) {
			least, ok = quota/period, true
		}
	}
	return least, ok
}

// cgroupFiles reads a file of the process's cgroup and of each above it. In version 2 it's called unified, in version 1, where
// each controller has a tree of its own, split; "" isn't read.
func cgroupFiles(root fs.FS, controller, unified, split string) []string {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var found []string
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), ":", 3) // number:controllers:path
		if len(parts) != 3 {
			continue
		}
		base, name := "sys/fs/cgroup", unified
		if parts[1] != "" {
			if base, name = path.Join(base, controller), split; !strings.Contains(","+parts[1]+",", ","+controller+",") || split == "" {
				continue
			}
		}
		// A container may see itself as the root and yet have the path that it has outside: then only the root is there.
		for at := path.Join("/", parts[2]); ; at = path.Dir(at) {
			if data, err := fs.ReadFile(root, path.Join(base, at, name)); err == nil {
				found = append(found, strings.TrimSpace(string(data)))
			}
			if at == "/" {
				break
			}
		}
	}
	return found
}

// ownerOf is the id of the user to whom a file belongs.
func ownerOf(info os.FileInfo) (int, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// freeSpace is what this user may still write where a path is.
func freeSpace(path string) (uint64, bool) {
	var stat unix.Statfs_t
	err := unix.Statfs(path, &stat)
	return stat.Bavail * uint64(stat.Bsize), err == nil
}

// seeded is nil if the kernel's generator gives randomness without having to wait.
func seeded() error {
	_, err := unix.Getrandom(make([]byte, 1), unix.GRND_NONBLOCK)
	return err
}
