package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// curlCommand is `[!] curl …`: what curl does with the flags that the command line's output and the README use, and an error for any
// other. The answer goes to stdout; with ! its status must be 400 or above.
func curlCommand(ts *testscript.TestScript, neg bool, args []string) {
	status, err := curl(ts.Stdout(), ts.ReadFile, args)
	ts.Check(err)
	if (status >= 400) != neg {
		ts.Fatalf("curl: status %d", status)
	}
}

// paste is `paste FILE`: it carries out each line of FILE as a shell would that has it pasted. Every line must be a curl.
func paste(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: paste FILE")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		words, err := shellWords(strings.TrimSpace(line), ts.Getenv)
		ts.Check(err)
		if len(words) == 0 || words[0] != "curl" {
			ts.Fatalf("not a curl: %s", line)
		}
		fmt.Fprintf(ts.Stdout(), "$ %s", line)
		status, err := curl(ts.Stdout(), ts.ReadFile, words[1:])
		ts.Check(err)
		if status >= 400 {
			ts.Fatalf("%s: status %d", line, status)
		}
		fmt.Fprintln(ts.Stdout())
	}
}

func curl(out io.Writer, file func(string) string, args []string) (int, error) {
	method, target, body, include := "", "", "", false
	header := http.Header{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch arg {
		case "-s", "-sS":
		case "-i":
			include = true
		case "-X", "-H", "-d":
			if len(args) == 0 {
				return 0, fmt.Errorf("curl: %s needs a value", arg)
			}
			switch value := args[0]; arg {
			case "-X":
				method = value
			case "-H":
				name, text, _ := strings.Cut(value, ":")
				header.Add(name, strings.TrimSpace(text))
			case "-d":
				if name, ok := strings.CutPrefix(value, "@"); ok {
					value = file(name)
				}
				body = value
			}
			args = args[1:]
		default:
			if strings.HasPrefix(arg, "-") || target != "" {
				return 0, fmt.Errorf("curl: the test's curl doesn't know %s", arg)
			}
			target = arg
		}
	}
	if method == "" && body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header = header
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: time.Minute}}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if include {
		fmt.Fprintf(out, "%s %s\n", res.Proto, res.Status)
		for name, values := range res.Header {
			fmt.Fprintf(out, "%s: %s\n", name, strings.Join(values, ", "))
		}
		fmt.Fprintln(out)
	}
	_, err = io.Copy(out, res.Body)
	return res.StatusCode, err
}

// shellWords splits a line as a POSIX shell does, for what can stand in the lines we print: single quotes, double quotes with
// variables, and no other special character.
func shellWords(line string, getenv func(string) string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '$':
			end := i + 1
			for end < len(line) && (line[end] == '_' || line[end] >= 'A' && line[end] <= 'Z') {
				end++
			}
			word.WriteString(getenv(line[i+1 : end]))
			inWord, i = true, end-1
		case c == '\\' || c == '`' || quote == 0 && strings.IndexByte("|&;<>()*?[]#~%{}!", c) >= 0 || c == '=' && quote == 0 && !inWord:
			return nil, fmt.Errorf("%q isn't quoted: %s", c, line)
		case quote == '"':
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ':
			if inWord {
				words, inWord = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote isn't closed: " + line)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

func TestShellWords(t *testing.T) {
	t.Parallel()
	getenv := func(key string) string { return map[string]string{"TOKEN": "a b"}[key] }
	for line, want := range map[string][]string{
		"curl -i 'http://h/p?a=1&b=2'":   {"curl", "-i", "http://h/p?a=1&b=2"},
		`curl -H "X: $TOKEN" http://h/`:  {"curl", "-H", "X: a b", "http://h/"},
		"curl http://h/p?a=1":            nil,
		"curl http://h/p&":               nil,
		"curl 'http://h/":                nil,
		`curl -d '{"a": 1}' 'http://h/'`: {"curl", "-d", `{"a": 1}`, "http://h/"},
	} {
		got, err := shellWords(line, getenv)
		if (err != nil) != (want == nil) || !cmp.Equal(got, want) {
			t.Errorf("shellWords(%s) = %q, %v, want %q", line, got, err, want)
		}
	}
}

func TestCurlRefusesWhatItDoesntKnow(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-k", "http://h/"}, {"http://h/", "http://i/"}, {"-H"}} {
		if _, err := curl(io.Discard, func(string) string { return "" }, args); err == nil {
			t.Errorf("curl %q: no error", args)
		}
	}
}
