package fetchtest

import (
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sortie-run/sortie/host/fetch"
)

var groupHead = regexp.MustCompile(`^(all|all_settled|any|race|quorum)(?:\(([^)]*)\))?: `)

// parseSteps reads what a case asks for. Targets that are paths are the origin's.
func parseSteps(text, origin string) ([]Step, error) {
	var steps []Step
	for _, part := range splitOutside(text, " ; ") {
		var s Step
		if m := groupHead.FindStringSubmatch(part); m != nil {
			part = part[len(m[0]):]
			if err := s.group(m[1], m[2]); err != nil {
				return nil, err
			}
		} else {
			s.Single, s.Mode = true, fetch.AllSettled
		}
		for _, member := range splitOutside(part, " | ") {
			if err := s.member(member, origin); err != nil {
				return nil, err
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func (s *Step) group(mode, args string) (err error) {
	if s.Mode, err = fetch.ParseMode(mode); err != nil {
		return err
	}
	for arg := range strings.FieldsSeq(args) {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "count":
			s.Count, err = strconv.Atoi(value)
		case "concurrency":
			s.Concurrency, err = strconv.Atoi(value)
		case "timeout":
			s.Timeout, err = time.ParseDuration(value)
		default:
			err = fmt.Errorf("no such argument: %s", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Step) member(text, origin string) error {
	words := splitOutside(text, " ")
	if len(words) < 2 {
		return fmt.Errorf("a fetch is a method and a target, not %q", text)
	}
	times := 1
	r := fetch.Request{Method: unquoted(words[0]), URL: unquoted(words[1])}
	if strings.HasPrefix(r.URL, "/") {
		r.URL = origin + r.URL
	}
	for _, w := range words[2:] {
		if n, ok := strings.CutPrefix(w, "*"); ok {
			var err error
			if times, err = strconv.Atoi(n); err != nil {
				return err
			}
			continue
		}
		if err := set(&r, w); err != nil {
			return err
		}
	}
	for range times {
		one := r
		s.Requests = append(s.Requests, &one)
	}
	return nil
}

// set is one header field or option of a fetch.
func set(r *fetch.Request, word string) (err error) {
	i := strings.IndexAny(word, ":=")
	if i < 0 {
		return fmt.Errorf("neither a field nor an option: %q", word)
	}
	name, value := word[:i], unquoted(word[i+1:])
	if word[i] == ':' {
		r.Header = append(r.Header, fetch.Field{Name: name, Value: value})
		return nil
	}
	retry := func() *fetch.Retry {
		if r.Retry == nil {
			r.Retry = &fetch.Retry{}
		}
		return r.Retry
	}
	switch name {
	case "field": // one whose name is no word
		field, value, _ := strings.Cut(value, "=")
		r.Header = append(r.Header, fetch.Field{Name: field, Value: value})
	case "body":
		r.Body, err = body(value)
	case "upload":
		var b []byte
		b, err = body(value)
		r.BodyReader = io.NopCloser(strings.NewReader(string(b)))
	case "timeout":
		r.Timeout, err = time.ParseDuration(value)
	case "attempt_timeout":
		r.AttemptTimeout, err = time.ParseDuration(value)
	case "hedge":
		r.Hedge, err = time.ParseDuration(value)
	case "retry":
		retry().Attempts, err = strconv.Atoi(value)
	case "backoff":
		retry().Backoff, err = time.ParseDuration(value)
		retry().MaxBackoff = retry().Backoff
	case "statuses":
		retry().Statuses = []int{}
		for _, s := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' }) {
			n, err := strconv.Atoi(s)
			if err != nil {
				return err
			}
			retry().Statuses = append(retry().Statuses, n)
		}
	case "redirect":
		modes := map[string]fetch.Redirect{"follow": fetch.Follow, "manual": fetch.Manual, "error": fetch.Refuse}
		mode, ok := modes[value]
		if r.Redirect = mode; !ok {
			err = fmt.Errorf("no such mode: %s", value)
		}
	case "expect":
		r.Expect = value
	default:
		err = fmt.Errorf("no such option: %s", name)
	}
	return err
}

func body(text string) ([]byte, error) {
	if n, ok := strings.CutPrefix(text, "*"); ok {
		size, err := strconv.Atoi(n)
		return []byte(strings.Repeat("x", size)), err
	}
	return []byte(text), nil
}

// splitOutside splits where no quotes are open.
func splitOutside(text, sep string) []string {
	var parts []string
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], sep):
			if i > from {
				parts = append(parts, text[from:i])
			}
			i += len(sep) - 1
			from = i + 1
		}
	}
	if from < len(text) {
		parts = append(parts, text[from:])
	}
	return parts
}

// unquoted is a word without its quotes, if it has any.
func unquoted(word string) string {
	if s, err := strconv.Unquote(word); err == nil {
		return s
	}
	return word
}

// pathOf is a URL's path and query.
func pathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}
	return u.RequestURI()
}
