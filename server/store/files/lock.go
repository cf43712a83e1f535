package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// LockedError says that another process has the store open.
type LockedError struct {
	Path string // of the lock file
	PID  int    // of the process that holds it, 0 if it can't be told
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the store is in use by %s (%s is locked): stop it, or use another data directory with --data DIR", who, e.Path)
}

// release unlocks the file and closes it. A process that is being started holds every open file for a moment, this one too; so closing alone
// might unlock it only later.
func release(f *os.File) error { return errors.Join(unlock(f), f.Close()) }

// acquire opens and locks the file, and writes this process's id into it. Closing the file unlocks it; so does the end
// of the process, however it ends.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	locked, err := tryLock(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	if !locked {
		defer f.Close()
		head, _ := io.ReadAll(io.LimitReader(f, 32))
		pid, _ := strconv.Atoi(strings.TrimSpace(string(head)))
		return nil, &LockedError{Path: path, PID: pid}
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	return f, nil
}
