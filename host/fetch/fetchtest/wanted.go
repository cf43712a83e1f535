package fetchtest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
	"github.com/sortie-run/sortie/host/fetch/failure"
)

// wanted is what should come of a case.
type wanted struct {
	steps [][]want
	facts map[string]string
}

// want is what should come of one fetch.
type want struct {
	codes  []fetch.Code // any of them; none: it is fulfilled
	status int          // 0: none
	words  []string
}

var factNames = []string{"requests", "bytes", "seen", "gone", "cache", "hops", "most"}

func parseWanted(text string) (*wanted, error) {
	w := &wanted{facts: map[string]string{}}
	parts := splitOutside(text, " # ")
	for _, step := range splitOutside(parts[0], " ; ") {
		var members []want
		for _, m := range splitOutside(step, " | ") {
			one, times, err := parseWant(m)
			if err != nil {
				return nil, err
			}
			members = append(members, slices.Repeat([]want{one}, times)...)
		}
		w.steps = append(w.steps, members)
	}
	for _, part := range parts[1:] {
		for fact := range strings.FieldsSeq(part) {
			name, value, _ := strings.Cut(fact, "=")
			if !slices.Contains(factNames, name) {
				return nil, fmt.Errorf("no such fact: %s", fact)
			}
			w.facts[name] = value
		}
	}
	return w, nil
}

func parseWant(text string) (w want, times int, err error) {
	times = 1
	for _, word := range splitOutside(text, " ") {
		switch n, err := strconv.Atoi(word); {
		case err == nil:
			w.status = n
		case failure.Code(strings.Split(word, "/")[0]).Known():
			for code := range strings.SplitSeq(word, "/") {
				w.codes = append(w.codes, failure.Code(code))
			}
		case strings.HasPrefix(word, "*"):
			if times, err = strconv.Atoi(word[1:]); err != nil {
				return w, 0, err
			}
		default:
			w.words = append(w.words, word)
		}
	}
	if w.status == 0 && w.codes == nil {
		err = fmt.Errorf("neither a status nor a code in %q", text)
	}
	return w, times, err
}

// compare tells what is wrong.
func (w *wanted) compare(got Outcome, n *network, bare bool) (wrong []string) {
	if len(got.Results) != len(w.steps) {
		return []string{fmt.Sprintf("%d steps", len(got.Results))}
	}
	for i, step := range w.steps {
		if len(got.Results[i]) != len(step) {
			wrong = append(wrong, fmt.Sprintf("step %d has %d results", i, len(got.Results[i])))
			continue
		}
		for j, one := range step {
			for _, what := range one.compare(got.Results[i][j], bare) {
				wrong = append(wrong, fmt.Sprintf("step %d, fetch %d: %s", i+1, j+1, what))
			}
		}
	}
	return append(append(wrong, w.compareFacts(got, n)...), always(got, n)...)
}

func (w want) compare(r fetch.Result, bare bool) (wrong []string) {
	resp, code := r.Response, fetch.Code("")
	if r.Err != nil {
		resp, code = r.Err.Response, r.Err.Code
	}
	state := fetch.Fulfilled
	if code == failure.Cancelled {
		state = fetch.Cancelled
	} else if code != "" {
		state = fetch.Rejected
	}
	if r.State != state || code != "" && !slices.Contains(w.codes, code) || code == "" && w.codes != nil {
		return []string{fmt.Sprintf("%s, code %q", r.State, code)}
	}
	if w.status == 0 != (resp == nil) {
		return []string{fmt.Sprintf("response %+v", resp)}
	}
	if resp == nil {
		resp = &fetch.Response{}
	} else if resp.Status != w.status {
		wrong = append(wrong, fmt.Sprintf("status %d", resp.Status))
	}
	for _, word := range w.words {
		if bare && word[0] != '"' && word[0] != '~' {
			continue
		}
		if what := check(word, r, resp); what != "" {
			wrong = append(wrong, what)
		}
	}
	return wrong
}

// check tells what is wrong with one word about a fetch; "": nothing.
func check(word string, r fetch.Result, resp *fetch.Response) string {
	attempts := resp.Attempts
	if r.Err != nil {
		attempts = r.Err.Attempts
	}
	is := func(ok bool, got any) string {
		if ok {
			return ""
		}
		return fmt.Sprintf("%s: got %v", word, got)
	}
	switch text := string(resp.Body); {
	case word[0] == '"':
		return is(text == unquoted(word), fmt.Sprintf("%.200q", text))
	case word[0] == '~':
		return is(strings.Contains(text, unquoted(word[1:])), fmt.Sprintf("%.200q", text))
	case word[0] == '-':
		return is(len(field(resp, word[1:])) == 0, field(resp, word[1:]))
	case word == "redirected" || word == "direct":
		return is(resp.Redirected == (word == "redirected"), resp.Redirected)
	case word == "retryable" || word == "final":
		return is(r.Err != nil && r.Err.Retryable == (word == "retryable"), r.Err)
	}
	i := strings.IndexAny(word, ":=")
	if i < 0 {
		return "not understood: " + word
	}
	name, value := word[:i], unquoted(word[i+1:])
	switch {
	case word[i] == ':':
		got := strings.Join(field(resp, name), ", ")
		return is(got == value, got)
	case name == "attempts":
		return is(strconv.Itoa(attempts) == value, attempts)
	case name == "at":
		return is(pathOf(resp.URL) == value, resp.URL)
	case name == "length":
		return is(strconv.Itoa(len(resp.Body)) == value, len(resp.Body))
	case name == "says":
		return is(r.Err != nil && strings.Contains(r.Err.Message, value), r.Err)
	}
	return "not understood: " + word
}

func field(resp *fetch.Response, name string) []string {
	var values []string
	for _, f := range resp.Header {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}

func (w *wanted) compareFacts(got Outcome, n *network) (wrong []string) {
	is := func(name string, value any) {
		if want, ok := w.facts[name]; ok && fmt.Sprint(value) != want {
			wrong = append(wrong, fmt.Sprintf("%s is %v", name, value))
		}
	}
	is("requests", got.Usage.Requests)
	is("bytes", got.Usage.Bytes)
	if len(got.Records) > 0 {
		last := got.Records[len(got.Records)-1]
		is("cache", last.Cache)
		is("hops", last.Hops)
	}
	if seen, ok := w.facts["seen"]; ok {
		if !settles(func() bool { return strconv.Itoa(n.seen()) == seen }) {
			wrong = append(wrong, fmt.Sprintf("upstreams have seen %d", n.seen()))
		}
	} else if !settles(func() bool { return n.seen() == got.Usage.Requests || got.cutOff() && n.seen() < got.Usage.Requests }) {
		wrong = append(wrong, fmt.Sprintf("upstreams have seen %d, and %d were charged", n.seen(), got.Usage.Requests))
	}
	if most, ok := w.facts["most"]; ok && n.most() > number(most) {
		wrong = append(wrong, fmt.Sprintf("upstreams had %d at once", n.most()))
	}
	if gone, ok := w.facts["gone"]; ok && !settles(func() bool { return strconv.Itoa(n.gone()) == gone }) {
		wrong = append(wrong, fmt.Sprintf("upstreams saw %d cancelled", n.gone()))
	}
	return wrong
}

// cutOff tells whether a fetch was ended by a time that was over or by the mode of its group, maybe before its request was out.
func (o *Outcome) cutOff() bool {
	for _, results := range o.Results {
		for _, r := range results {
			if r.Err != nil && (r.Err.Code == failure.Cancelled || strings.HasSuffix(string(r.Err.Code), "timeout")) {
				return true
			}
		}
	}
	return false
}

// always is what holds for every case.
func always(got Outcome, n *network) (wrong []string) {
	if n.denied.Load() > 0 {
		wrong = append(wrong, "the origin that no rule allows was connected to")
	}
	sent, revalidated := 0, false
	for i, r := range got.Records {
		revalidated = revalidated || r.Cache == fetch.CacheStale
		if r.State < fetch.Fulfilled {
			wrong = append(wrong, fmt.Sprintf("record %d is %s", i, r.State))
		}
		for _, x := range r.Exchanges {
			if x.Phases.Send >= 0 {
				sent++
			}
		}
	}
	if sent > got.Usage.Requests {
		wrong = append(wrong, fmt.Sprintf("%d requests are on record, and %d charged", sent, got.Usage.Requests))
	}
	if n.seen() > sent && !revalidated { // a revalidation that nobody waits for is on another record
		wrong = append(wrong, fmt.Sprintf("%d requests are on record, and upstreams have seen %d", sent, n.seen()))
	}
	return wrong
}

// settling is how long upstreams have to notice something: SORTIE_SETTLING, else 10 s, which only a case that fails ever spends.
var settling = sync.OnceValue(func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SORTIE_SETTLING")); err == nil {
		return d
	}
	return 10 * time.Second
})

// settles waits for a condition.
func settles(ok func() bool) bool {
	for deadline := time.Now().Add(settling()); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// tell is an outcome in a line, to be read beside what was wanted.
func tell(got Outcome, n *network) string {
	var steps []string
	for _, results := range got.Results {
		var members []string
		for _, r := range results {
			members = append(members, tellResult(r))
		}
		steps = append(steps, strings.Join(members, " | "))
	}
	line := fmt.Sprintf("%s # requests=%d bytes=%d seen=%d gone=%d most=%d", strings.Join(steps, " ; "), got.Usage.Requests, got.Usage.Bytes, n.seen(), n.gone(), n.most())
	if len(got.Records) > 0 {
		last := got.Records[len(got.Records)-1]
		line += fmt.Sprintf(" cache=%s hops=%d", last.Cache, last.Hops)
	}
	return line
}

func tellResult(r fetch.Result) string {
	var words []string
	resp := r.Response
	if r.Err != nil {
		words, resp = append(words, string(r.Err.Code), fmt.Sprintf("attempts=%d (%s)", r.Err.Attempts, r.Err.Message)), r.Err.Response
	}
	if resp != nil {
		words = append(words, fmt.Sprintf("%d %.200q attempts=%d at=%s", resp.Status, resp.Body, resp.Attempts, pathOf(resp.URL)))
	}
	return strings.Join(words, " ")
}
