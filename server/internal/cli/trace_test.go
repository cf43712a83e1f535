package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// shown is what trace prints of a report.
func shown(t testing.TB, report string) string {
	t.Helper()
	var r traced
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&app{stdout: &out, env: []string{"TERM=xterm"}}).printTrace(&r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const sampleReport = `{"id":"0123456789abcdef0123456789abcdef","plugin":"prices","version":3,"kind":"http","started":"2026-02-03T04:05:06.789Z","method":"GET","path":"/eur",
"status":200,"queue_ms":10,"guest_ms":5,"fetch_ms":80,"total_ms":100,"memory":1,
"fetches":[
 {"method":"GET","url":"https://api.example.com/rates?key=1","state":"fulfilled","status":200,"attempts":1,"hops":0,"bytes":2048,"cache":"miss","start_ms":0,"elapsed_ms":80,
  "exchanges":[{"method":"GET","url":"https://api.example.com/rates","attempt":1,"hop":0,"status":200,"reused":false,"start_ms":0,"elapsed_ms":80,
   "blocked_ms":0,"dns_ms":10,"connect_ms":10,"tls_ms":10,"send_ms":5,"wait_ms":25,"receive_ms":20,"sent":1,"received":1,"decoded":2048}]},
 {"method":"POST","url":"https://slow.example.com/a/very/long/path/that/does/not/fit/anywhere","state":"rejected","status":503,"code":"http_status","attempts":2,"hops":1,"bytes":0,"start_ms":10,"elapsed_ms":60,
  "exchanges":[{"method":"POST","url":"https://slow.example.com/a","attempt":1,"hop":0,"status":307,"reused":false,"start_ms":10,"elapsed_ms":15,"connect_ms":5,"wait_ms":10},
   {"method":"POST","url":"https://slow.example.com/b","attempt":1,"hop":1,"code":"read_error","reused":true,"start_ms":25,"elapsed_ms":15,"blocked_ms":5,"wait_ms":10},
   {"method":"POST","url":"https://slow.example.com/b","attempt":2,"hop":1,"hedge":true,"status":503,"reused":true,"start_ms":50,"elapsed_ms":20,"wait_ms":10,"receive_ms":10}]},
 {"method":"GET","url":"https://denied.example/","state":"rejected","code":"host_denied","attempts":0,"hops":0,"bytes":0,"start_ms":80,"elapsed_ms":0,"exchanges":null},
 {"method":"GET","url":"https://api.example.com/rates","state":"fulfilled","status":200,"attempts":0,"hops":0,"bytes":5,"cache":"hit","start_ms":40,"elapsed_ms":0,"exchanges":[]}],
"budget":[{"name":"fetch.limits.requests","used":4,"limit":64,"unit":"requests"},{"name":"limits.wall","used":100,"limit":30000,"unit":"ms"}],
"logs":[{"time":"2026-02-03T04:05:06Z","level":"info","message":"x"}]}`

func TestTrace(t *testing.T) {
	t.Parallel()
	const want = `prices version 3  GET /eur
0123456789abcdef0123456789abcdef  started 2026-02-03T04:05:06.789Z

METHOD FETCH                OUTCOME          BYTES     TIME  0          100.0 ms
GET    api.examp~com/rates  200 miss          2KiB  80.0 ms   dddcctts----====
POST   slow.exam~/anywhere  http_status 503     0B  60.0 ms     cc-..-..--==
POST   - try 1 hop 0        307                 0B  15.0 ms     cc-
POST   - try 1 hop 1        read_error          0B  15.0 ms        ..-
POST   - try 2 hop 1 hedge  503                 0B  20.0 ms             --==
GET    denied.example       host_denied         0B   0.0 ms                   *
GET    api.examp~com/rates  200 hit             5B   0.0 ms           *
. blocked  d dns  c connect  t tls  s send  - wait  = receive  * nothing sent

200 in 100.0 ms (queue 10.0 ms, guest 5.0 ms, fetches 80.0 ms)
used 4/64 requests, 100ms/30s wall
log lines: 1; sortie logs prices shows them
`
	got := shown(t, sampleReport)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, got)
	}
	for _, line := range strings.Split(got, "\n") {
		if utf8.RuneCountInString(line) > 80 || strings.HasSuffix(line, " ") || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("%q", line)
		}
	}
}

func TestTraceWithoutFetches(t *testing.T) {
	t.Parallel()
	got := shown(t, `{"id":"x","plugin":"p","version":1,"method":"PUT","path":"/","status":413,"code":"limit_input","detail":"Too large.","total_ms":0.5}`)
	if want := "p version 1  PUT /\nx  started 0001-01-01T00:00:00.000Z\n\nno fetches\n\nlimit_input in 0.5 ms (queue 0.0 ms, guest 0.0 ms, fetches 0.0 ms)\nToo large.\n"; got != want {
		t.Errorf("got %q", got)
	}
}

// escapes are what could drive a terminal, or make a line read as another.
const escapes = "\x1b]0;owned\a\x1b[2J\u009b31m\u202eevil\r\n\x00\x7f\u2066\u2028"

func clean(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && drives(r) })
}

func TestTraceOfAHostilePlugin(t *testing.T) {
	t.Parallel()
	var report map[string]any
	if err := json.Unmarshal([]byte(sampleReport), &report); err != nil {
		t.Fatal(err)
	}
	var poison func(v any) any
	poison = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if key != "started" && key != "time" {
					v[key] = poison(value)
				}
			}
		case []any:
			for i := range v {
				v[i] = poison(v[i])
			}
		case string:
			return v + escapes
		}
		return v
	}
	text, err := json.Marshal(poison(report))
	if err != nil {
		t.Fatal(err)
	}
	if got := shown(t, string(text)); !clean(got) || len(strings.Split(got, "\n")) != len(strings.Split(shown(t, sampleReport), "\n")) {
		t.Errorf("%q", got)
	}
	var out bytes.Buffer
	if err := (&app{stdout: &out}).printJSON(json.RawMessage(text)); err != nil || !clean(out.String()) {
		t.Errorf("%v: %q", err, out.String())
	}
	var again any
	if err := json.Unmarshal(out.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(report), again); diff != "" {
		t.Errorf("the JSON has changed: %s", diff)
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(sampleReport))
	f.Add([]byte(`{"total_ms":1e308,"queue_ms":-1e308,"fetches":[{"start_ms":1e308,"elapsed_ms":1e308,"exchanges":[{"start_ms":-5,"elapsed_ms":1e308,"wait_ms":1e308}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r traced
		if json.Unmarshal(text, &r) != nil {
			return
		}
		var out bytes.Buffer
		if err := (&app{stdout: &out}).printTrace(&r); err != nil || !clean(strings.ReplaceAll(out.String(), "\t", "")) {
			t.Errorf("%v: %q", err, out.String())
		}
	})
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a.har")
	if err := os.WriteFile(name, []byte("old and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(name, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "new" {
		t.Errorf("%q, %v", text, err)
	}
	if err := writeFile(os.DevNull, []byte("x")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Errorf("%s is %v now", os.DevNull, info.Mode())
	}
	if err := writeFile(dir, []byte("x")); err == nil {
		t.Error("a folder was written to")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}
