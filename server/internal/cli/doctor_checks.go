package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
	"github.com/sortie-run/sortie/server/store/files"
)

// configuration tells whether a server could start with it.
func (e *examined) configuration(context.Context) finding {
	if len(e.wrong) == 0 {
		return fine("it is valid")
	}
	return broken("`sortie config check` shows all that is wrong", "%s%s", e.wrong[0], andMore(len(e.wrong)))
}

// andMore says how many there are beside the one that is shown.
func andMore(all int) string {
	if all <= 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", all-1)
}

// kernel tells how instances get clean again after an invocation.
func (e *examined) kernel(context.Context) finding {
	switch method, why := host.Cleaning(); method {
	case "watch":
		return fine("it notes which pages a plugin writes to (memfd_create, PAGEMAP_SCAN, userfaultfd)")
	case "scan":
		return warning("in a container, let its seccomp profile allow userfaultfd", "pages that a plugin wrote to are looked for, not noted (%v)", why)
	case "none":
		return warning("let the container's seccomp profile allow memfd_create", "every invocation starts a new instance (%v)", why)
	default:
		return warning("Linux 6.7 and later clean them quicker", "plugins' memories are cleaned as a whole (%v)", why)
	}
}

// spareFiles are those that a process has open beside the sockets of what it does: the log, the store, modules, images.
const spareFiles = 64

// openFiles holds the limit of open files against the sockets that the configuration allows.
func (e *examined) openFiles(context.Context) finding {
	limit, ok := limitOfFiles()
	if !ok {
		return fine("this system doesn't tell its limit")
	}
	p := e.operator.Process
	least, all := uint64(p.PerOrigin)+spareFiles, uint64(p.Fetches)+uint64(p.Invocations)+uint64(p.Queue)+spareFiles
	switch {
	case limit < least:
		return broken(fmt.Sprintf("set LimitNOFILE, or ulimit -n, to %d", all), "%d files may be open, too few for process.per_origin (%d)", limit, p.PerOrigin)
	case limit < all:
		return warning(fmt.Sprintf("set LimitNOFILE, or ulimit -n, to %d", all),
			"%d files may be open, too few for all of process.fetches (%d), invocations (%d) and queue (%d)", limit, p.Fetches, p.Invocations, p.Queue)
	}
	return fine("%s may be open", counted(limit))
}

func counted(limit uint64) string {
	if limit > math.MaxInt64 {
		return "any number"
	}
	return fmt.Sprint(limit)
}

// addressSpace tells whether addresses are limited (ulimit -v): memory that is reserved counts there, used or not.
func (e *examined) addressSpace(context.Context) finding {
	limit, ok := limitOfAddresses()
	memory := uint64(e.operator.Process.Memory)
	switch {
	case !ok:
		return fine("they aren't limited")
	case limit < memory:
		return broken("lift the limit (ulimit -v unlimited)", "%s can be addressed, less than process.memory (%s)", size(limit), e.operator.Process.Memory)
	}
	return warning("lift the limit (ulimit -v unlimited)", "%s can be addressed; plugins and Go reserve more than they use", size(limit))
}

// memory holds what the process may have, by its cgroups or the machine, against process.memory.
func (e *examined) memory(context.Context) finding {
	limit, whose, ok := limitOfMemory(os.DirFS("/"))
	memory := e.operator.Process.Memory
	if !ok {
		return fine("this system doesn't tell its limit")
	}
	most := manifest.Bytes(limit/5*4>>20) << 20
	do := fmt.Sprintf("set process.memory to %s at most (SORTIE_PROCESS__MEMORY=%s), or allow more", most, most)
	switch {
	case limit < uint64(memory):
		return broken(do, "%s has %s, less than process.memory (%s)", whose, size(limit), memory)
	case limit/5*4 < uint64(memory):
		return warning(do, "%s has %s, which leaves little beside process.memory (%s) for the server itself", whose, size(limit), memory)
	}
	return fine("%s has %s; process.memory is %s", whose, size(limit), memory)
}

// size rounds down to whole mebibytes.
func size(n uint64) string {
	if n >= math.MaxInt64 {
		return "any size"
	}
	if n < 1<<20 {
		return manifest.Bytes(n).String()
	}
	return (manifest.Bytes(n>>20) << 20).String()
}

// processors holds GOMAXPROCS against what the process's cgroups let it have.
func (e *examined) processors(context.Context) finding {
	procs := runtime.GOMAXPROCS(0)
	quota, ok := quotaOfProcessors(os.DirFS("/"))
	switch {
	case !ok:
		return fine("%d in use; no quota", procs)
	case float64(procs) > math.Max(2, math.Ceil(quota)):
		return warning("leave GOMAXPROCS unset, or set it to the quota",
			"GOMAXPROCS is %d with a quota of %.3g: what runs at once then is stopped at once, too", procs, quota)
	}
	return fine("%d in use with a quota of %.3g", procs, quota)
}

// dataFolder tells whether the server can write there, and nobody else can read.
func (e *examined) dataFolder(context.Context) finding {
	info, err := os.Stat(e.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := existing(e.data)
		if err := writable(above); err != nil {
			return broken("make the folder for the server's user, or name another with --data", "%s isn't there, and can't be made in %s (%v)", e.data, above, err)
		}
		return fine("%s will be made", e.data)
	case err != nil:
		return broken("name another with --data", "%v", err)
	case !info.IsDir():
		return broken("name another with --data", "%s is no folder", e.data)
	}
	if err := writable(e.data); err != nil {
		return broken("give it to the server's user, or name another with --data", "%s can't be written to (%v)", e.data, err)
	}
	owner, known := ownerOf(info)
	switch mode := info.Mode().Perm(); {
	case known && owner != os.Geteuid():
		return warning(fmt.Sprintf("chown it to user %d", os.Geteuid()), "%s belongs to user %d", e.data, owner)
	case runtime.GOOS != "windows" && mode&0o077 != 0:
		return warning("chmod 0700", "%s is open to others of this machine (%04o)", e.data, mode)
	}
	return fine("%s is the server's alone", e.data)
}

// existing is the nearest folder above a path that is there.
func existing(path string) string {
	for {
		path = filepath.Dir(path)
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
	}
}

// writable tells whether files can be made in a folder, by making one.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".sortie-doctor-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// How little space a data folder may have left.
const (
	tightSpace = 1 << 30
	leastSpace = 64 << 20
)

// space tells how much is left for modules, compiled ones too.
func (e *examined) space(context.Context) finding {
	at := e.data
	if _, err := os.Stat(at); err != nil {
		at = existing(at)
	}
	free, ok := freeSpace(at)
	switch {
	case !ok:
		return fine("this system doesn't tell")
	case free < leastSpace:
		return broken("make room, or name another folder with --data", "%s is left in %s", size(free), at)
	case free < tightSpace:
		return warning("make room: each version is kept, and compiled", "%s is left in %s", size(free), at)
	}
	return fine("%s is left in %s", size(free), at)
}

// stored reads what the store holds.
func (e *examined) stored(ctx context.Context) finding {
	v, err := files.Verify(ctx, filepath.Join(e.data, "store"))
	if err != nil {
		return broken("let the server's user read it", "%v", err)
	}
	held := ""
	var locked *files.LockedError
	if errors.As(v.LockedBy, &locked) {
		held = fmt.Sprintf("; process %d has it open", locked.PID)
	}
	if len(v.Wrong) > 0 {
		return broken("deploy that version again, or restore the file", "%v%s%s", v.Wrong[0], andMore(len(v.Wrong)), held)
	}
	return fine("%d plugins, %d versions, %d modules of %s, all with their digests%s", v.Plugins, v.Versions, v.Modules, size(uint64(v.Bytes)), held)
}

// How far clocks may be apart: tokens expire, and caches judge, by them.
const (
	clocksApart = 10 * time.Second
	clocksWrong = 5 * time.Minute
)

// clock holds this machine's against the program's build and, where SORTIE_SERVER names one, a server's.
func (e *examined) clock(ctx context.Context) finding {
	now := time.Now().UTC()
	if built := builtAt(); now.Before(built) {
		return broken("set the clock, and keep it by NTP", "it's %s, before this program was built (%s)", now.Format(time.RFC3339), built.Format(time.RFC3339))
	}
	server := e.app.getenv("SORTIE_SERVER")
	if server == "" {
		return fine("it's %s", now.Format(time.RFC3339))
	}
	base, err := url.Parse(server)
	if err != nil {
		return warning("write it as a URL", "SORTIE_SERVER can't be compared with")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	response, err := ask(ctx, base.JoinPath("livez"))
	if err != nil {
		return warning("is it running?", "the clock of SORTIE_SERVER can't be compared with (%v)", unwrapURL(err))
	}
	defer response.Body.Close()
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return warning("is it Sortie's?", "SORTIE_SERVER doesn't tell its time")
	}
	apart := time.Since(theirs).Abs().Truncate(time.Second)
	switch {
	case apart > clocksWrong:
		return broken("set both by NTP", "this clock and SORTIE_SERVER's are %s apart", apart)
	case apart > clocksApart:
		return warning("set both by NTP", "this clock and SORTIE_SERVER's are %s apart", apart)
	}
	return fine("it's %s, here and at SORTIE_SERVER", now.Format(time.RFC3339))
}

// builtAt is when the source of this program was committed, or else a time before any build.
func builtAt() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if at, err := time.Parse(time.RFC3339, setting.Value); setting.Key == "vcs.time" && err == nil {
				return at
			}
		}
	}
	return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
}

// renewTime is how long before its end a certificate should have been renewed.
const renewTime = 30 * 24 * time.Hour

// certificate tells whether the server's can be used, and for how long.
func (e *examined) certificate(context.Context) finding {
	if e.operator.TLS.Cert == "" {
		return fine("none: the server speaks plain HTTP")
	}
	c, err := loadCertificate(e.operator.TLS, slog.New(slog.DiscardHandler))
	if err != nil {
		return broken("put a PEM certificate and its key there", "%v", err)
	}
	leaf, now := c.pair.Load().Leaf, time.Now()
	until := leaf.NotAfter.UTC().Format(time.DateOnly)
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		return broken("check the clock", "%s isn't valid before %s", e.operator.TLS.Cert, leaf.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return broken("renew it; a running server takes the new one by itself", "%s was valid until %s", e.operator.TLS.Cert, until)
	case left < renewTime:
		return warning("renew it; a running server takes the new one by itself", "%s is valid for %d days more, until %s", e.operator.TLS.Cert, int(left.Hours()/24), until)
	}
	return fine("%s is valid until %s", e.operator.TLS.Cert, until)
}

// randomness tells whether the system has any yet.
func (e *examined) randomness(context.Context) finding {
	if err := seeded(); err != nil {
		return broken("wait, or give the machine a source of entropy", "the kernel's generator isn't seeded yet (%v)", err)
	}
	return fine("the kernel's generator is seeded")
}
