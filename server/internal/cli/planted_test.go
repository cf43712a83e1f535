package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPlanted takes a server through everything it does, with tokens, secrets and credentials that are found nowhere else, and then searches all that
// it printed, seenAnswer, reported, counted, stored and backed up for them.
func TestPlanted(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("sortie")
	if err != nil {
		t.Fatal(err)
	}
	p := &planting{t: t, binary: binary, dir: t.TempDir(), client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	p.prepare()
	p.refusedStarts()
	p.firstRun()
	p.secondRun()
	p.restored()
	p.stored("data", filepath.Join(p.dir, "data"))
	for _, l := range search(p.values, p.exhibits) {
		t.Error(l)
	}

	// What this is worth: a value that is meant to be seen is seen everywhere.
	control := []plantedValue{{p.control, []byte(p.control[1:])}}
	var seen []string
	for _, l := range search(control, p.exhibits) {
		seen = append(seen, l.place)
	}
	for _, place := range []string{
		"server log", "report ", "HAR ", "GET /metrics", "backup", "data/usage.json", "data/store/", "restored/store/", "GET /v1/plugins/" + p.control,
		"GET /v1/audit", "sortie list", "sortie list --json", "sortie traffic", "sortie audit", "sortie trace", "sortie logs", "sortie logs -f", "GET follow=true",
	} {
		if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, place) }) {
			t.Errorf("the control value isn't found in %s: nothing is said by not finding the others there", place)
		}
	}
	if !slices.ContainsFunc(p.exhibits, func(e exhibit) bool { return strings.HasPrefix(e.place, "data/cache/") }) {
		t.Error("no compiled module was looked at")
	}
	t.Run("a plugin that logs one", func(t *testing.T) {
		var places []string
		for _, l := range search([]plantedValue{{"logged", []byte(p.logged)}}, p.exhibits) {
			places = append(places, l.place)
		}
		all := strings.Join(places, "\n")
		for _, place := range []string{"report ", "sortie logs", "GET /v1/plugins/logging/logs"} {
			if !strings.Contains(all, place) {
				t.Errorf("what the plugin logged isn't found in %s, only in\n%s", place, all)
			}
		}
	})
}

// TestPlantedIsFound: the search finds a value in every form, and the half of one.
func TestPlantedIsFound(t *testing.T) {
	t.Parallel()
	const value = `0123456789ab/+"cdef0123456=789=`
	quoted, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		value, strings.ToUpper(value), value[:16], value[len(value)-16:], url.QueryEscape(value), url.PathEscape(value), string(quoted), hex.EncodeToString([]byte(value)),
		fmt.Sprintf("%X", value), strings.TrimSpace(escapedEach(value, "%d ")), base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		base64.StdEncoding.EncodeToString([]byte("u:" + value)), base64.URLEncoding.EncodeToString([]byte("me:" + value + "\n")), escapedEach(value, "%%%02x"), escapedEach(value, `\u%04x`),
	} {
		if len(search([]plantedValue{{"it", []byte(value)}}, []exhibit{{"there", []byte("…" + text + "…"), nil}})) == 0 {
			t.Errorf("not found in %s", text)
		}
	}
	if found := search([]plantedValue{{"it", []byte(value)}}, []exhibit{{"there", []byte(value), []string{"it"}}, {"there", []byte(value[:15]), nil}}); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// plantedValue is one that must be found nowhere.
type plantedValue struct {
	name  string
	value []byte
}

// exhibit is a text that is searched. It may show the values named. There are two reasons for that: it's the answer that creates a token, which shows
// that one; or it's a plugin's own answer, which may show what its caller sent and what an upstream sent back. All else is searched for in them too.
type exhibit struct {
	place string
	text  []byte
	shows []string
}

type leak struct{ value, form, place, around string }

func (l leak) String() string {
	return fmt.Sprintf("%s, %s, in %s: %s", l.value, l.form, l.place, l.around)
}

// pieceSize is as much of a value as mustn't be seen.
const pieceSize = 16

// search finds the values' first and last sixteen bytes, in any form and case.
func search(values []plantedValue, exhibits []exhibit) (found []leak) {
	const prefix = 12
	type needle struct{ value, form, text string }
	needles := map[[prefix]byte][]needle{}
	for _, v := range values {
		for _, piece := range [][]byte{v.value[:pieceSize], v.value[len(v.value)-pieceSize:]} {
			for form, text := range forms(piece) {
				text = string(lowered([]byte(text)))
				key := [prefix]byte([]byte(text))
				needles[key] = append(needles[key], needle{v.name, form, text})
			}
		}
	}
	for _, e := range exhibits {
		text := lowered(e.text)
		seen := map[string]bool{}
		for i := 0; i+prefix <= len(text); i++ {
			for _, n := range needles[[prefix]byte(text[i:])] {
				if !bytes.HasPrefix(text[i:], []byte(n.text)) || seen[n.value] || slices.Contains(e.shows, n.value) {
					continue
				}
				seen[n.value] = true
				found = append(found, leak{n.value, n.form, e.place, fmt.Sprintf("%q", e.text[max(i-150, 0):min(i+len(n.text)+80, len(text))])})
			}
		}
	}
	return found
}

// forms are the ways in which a text may be written.
func forms(piece []byte) map[string]string {
	quoted, _ := json.Marshal(string(piece))
	all := map[string]string{
		"as it is": string(piece), "hex": hex.EncodeToString(piece), "for a query": url.QueryEscape(string(piece)), "for a path": url.PathEscape(string(piece)),
		"percent-encoded": escapedEach(string(piece), "%%%02x"), "JSON": string(quoted[1 : len(quoted)-1]), "JSON escapes": escapedEach(string(piece), `\u%04x`),
		"numbers": strings.TrimSpace(escapedEach(string(piece), "%d ")),
	}
	for before := range 3 { // base64 depends on where in three bytes it begins; what its neighbours have a part in is left out
		text := append(make([]byte, before), piece...)
		from, to := (before*8+5)/6, len(text)*8/6
		all[fmt.Sprint("base64 at ", before)] = base64.StdEncoding.EncodeToString(text)[from:to]
		all[fmt.Sprint("base64url at ", before)] = base64.URLEncoding.EncodeToString(text)[from:to]
	}
	return all
}

func escapedEach(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// lowered leaves bytes that aren't ASCII letters as they are.
func lowered(b []byte) []byte {
	l := bytes.Clone(b)
	for i, c := range l {
		if 'A' <= c && c <= 'Z' {
			l[i] = c | 0x20
		}
	}
	return l
}
