package files_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/server/store"
	"github.com/sortie-run/sortie/server/store/files"
	"github.com/sortie-run/sortie/server/store/storetest"
)

// crashDirVariable makes the test binary the victim of TestKilledAtAnyMoment, working in the directory it holds.
const crashDirVariable = "SORTIE_TEST_CRASH_DIR"

// deleteEvery: the plugin "b" is deleted when it has that many versions.
const deleteEvery = 4

// crashWasm and crashManifest are what version n of the plugin consists of, so that a mix of two versions is seen.
func crashWasm(name string, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "module %s %d.", name, n), 8<<10)
}

func crashManifest(name string, n int) []byte {
	return fmt.Appendf(nil, "name: %s\nconfig: {n: %d}\n", name, n)
}

// putForever deploys the plugins "a" and "b" in turn until it's killed. Each change that returned is acknowledged by a
// line on stdout: the plugin and the number of its newest version, 0 if it was deleted.
func putForever(dir string) {
	ctx := context.Background()
	s, err := files.Open(dir)
	for err == nil {
		for _, name := range []string{"a", "b"} {
			n := 0
			if p, err := s.Get(ctx, name); err == nil {
				n = p.Newest().Number
			}
			if name == "b" && n == deleteEvery {
				err = s.Delete(ctx, store.DeleteRequest{Change: store.Change{Name: name}})
				n = 0
			} else {
				n++
				_, err = s.Put(ctx, store.PutRequest{
					Change: store.Change{Name: name}, Manifest: crashManifest(name, n), Wasm: crashWasm(name, n), Traffic: true,
				})
			}
			if err != nil {
				break
			}
			fmt.Println(name, n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilledAtAnyMoment kills a process that deploys without pause, 50 times, and looks at what is left each time.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newest := map[string]int{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 50 {
		killOnce(t, dir, random, newest)
		s, err := files.Open(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for _, name := range []string{"a", "b"} {
			newest[name] = checkWhole(t, s, name, newest[name])
		}
		storetest.Replays(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if newest["a"] < 50 {
		t.Errorf("only %d deploys in 50 rounds: the victim was killed before it did anything", newest["a"])
	}
}

// killOnce runs the victim, kills it a random moment after a few acknowledged changes, and notes those in newest.
func killOnce(t *testing.T, dir string, random *rand.Rand, newest map[string]int) {
	t.Helper()
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	victim.Env = append(os.Environ(), crashDirVariable+"="+dir)
	var complaint strings.Builder
	victim.Stderr = &complaint
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	killAfter, changes := 2+random.IntN(4), 0
	delay := time.Duration(random.Int64N(int64(6 * time.Millisecond)))
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var name string
		var n int
		if _, err := fmt.Sscan(lines.Text(), &name, &n); err != nil {
			t.Fatalf("the victim printed %q", lines.Text())
		}
		newest[name] = n
		if changes++; changes == killAfter {
			time.AfterFunc(delay, func() { _ = victim.Process.Kill() }) // SIGKILL
		}
	}
	var exit *exec.ExitError
	if err := victim.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the victim ended by itself: %v: %s", err, complaint.String())
	}
}

// checkWhole checks that the plugin is as the last acknowledged change left it, or as the one under way would have, with
// every version whole, and returns its newest version's number.
func checkWhole(t *testing.T, s *files.Store, name string, acknowledged int) int {
	t.Helper()
	next := acknowledged + 1
	if name == "b" && acknowledged == deleteEvery {
		next = 0
	}
	p, err := s.Get(t.Context(), name)
	if errors.Is(err, store.ErrNotFound) {
		if acknowledged != 0 && next != 0 {
			t.Errorf("%s: gone; version %d was acknowledged", name, acknowledged)
		}
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	n := p.Newest().Number
	if n != acknowledged && n != next || n != len(p.Versions) {
		t.Errorf("%s: newest is %d of %d versions; %d was acknowledged", name, n, len(p.Versions), acknowledged)
	}
	if len(p.Traffic) != 1 || p.Traffic[0] != (store.Weight{Version: n, Weight: 100}) {
		t.Errorf("%s: version %d is the newest, and traffic is %v", name, n, p.Traffic)
	}
	for _, v := range p.Versions {
		blob, err := s.Blob(t.Context(), v.Digest)
		if err != nil {
			t.Errorf("%s version %d: %v", name, v.Number, err)
		}
		if !bytes.Equal(blob, crashWasm(name, v.Number)) || !bytes.Equal(v.Manifest, crashManifest(name, v.Number)) {
			t.Errorf("%s version %d isn't what was deployed", name, v.Number)
		}
	}
	return n
}
