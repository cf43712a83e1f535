package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childAttr puts a child into a process group of its own, and ends it if the harness is killed.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// signalGroup signals a child and whatever it started.
func signalGroup(p *os.Process, signal syscall.Signal) error { return syscall.Kill(-p.Pid, signal) }

// cpuTime is what a process has computed since its start, user and system, all threads: its CPU-time clock (clock_getcpuclockid(3)),
// which counts nanoseconds where /proc/PID/stat counts ticks.
func cpuTime(pid int) (time.Duration, error) {
	const cpuclockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|cpuclockSched, &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// memoryOf reads what a process has in memory. Pages that several mappings share count once in Pss, and once for each mapping in Rss.
func memoryOf(pid int) (memory, error) {
	rollup, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	status, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return memory{
		Pss: rollup["Pss"], Rss: rollup["Rss"], Anonymous: rollup["Anonymous"], Peak: status["VmHWM"], Threads: status["Threads"] / 1024,
	}, nil
}

// kilobytes reads the lines "Key: N kB" of a file, as bytes.
func kilobytes(path string) (map[string]int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := make(map[string]int64)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, rest, ok := strings.Cut(lines.Text(), ":")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				values[key] = n * 1024
			}
		}
	}
	return values, lines.Err()
}

// available is how much memory the machine has left, in bytes.
func available() (int64, error) {
	values, err := kilobytes("/proc/meminfo")
	return values["MemAvailable"], err
}

// openFiles is how many files a process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Max, 1<<20)) // Go programs raise the soft limit to the hard one
}

// thisMachine describes it: processor, cores, memory and kernel.
func thisMachine() map[string]string {
	m := map[string]string{}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m["processor"] = strings.TrimSpace(value)
				break
			}
		}
	}
	if values, err := kilobytes("/proc/meminfo"); err == nil {
		m["memory"] = fmt.Sprintf("%.0f GiB", float64(values["MemTotal"])/(1<<30))
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m["kernel"] = "Linux " + unix.ByteSliceToString(name.Release[:])
	}
	return m
}
