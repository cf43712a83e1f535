package manifest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxSecretBytes bounds a secret's value: it goes into a header.
const maxSecretBytes = 64 << 10

// secret checks a manifest's secret by itself; narrow checks it against the
// operator's.
func (c *checker) secret(s *Secret, key string) {
	if !regexp.MustCompile(secretPattern).MatchString(s.Name) {
		c.bad(key+".name", "%s; a secret needs the name it has in the operator's configuration, such as API_KEY", describeName(s.Name))
	}
	switch {
	case s.Header == "":
		c.bad(key+".header", "no header; a secret needs the one that carries it, such as Authorization")
	case len(s.Header) > maxEntryBytes || !httpguts.ValidHeaderFieldName(s.Header):
		c.bad(key+".header", "%s is not a header's name", quote(s.Header))
	case hostOwned(s.Header):
		c.bad(key+".header", "%s is set by the host alone", quote(s.Header))
	}
	if s.Format == "" && !c.named(c.full(key+".format")) {
		s.Format = secretMark
	}
	switch {
	case !strings.Contains(s.Format, secretMark):
		c.bad(key+".format", "it does not say where the secret goes; write %s there", secretMark) // it may be the value
	case len(s.Format) > maxHeaderBytes || !httpguts.ValidHeaderFieldValue(s.Format):
		c.bad(key+".format", "can't be a header's value")
	}
	if len(s.Allow) == 0 && c.emptyList[c.full(key+".allow")] {
		c.bad(key+".allow", "an empty list matches nothing; without `allow`, the operator's is used")
	}
	s.Allow, _ = c.patterns(s.Allow, key+".allow")
}

func describeName(name string) string {
	if name == "" {
		return "no name"
	}
	return quote(name)
}

// hostOwned says whether the host alone sets a header; a plugin's is dropped.
func hostOwned(header string) bool {
	lower := strings.ToLower(header)
	return strings.HasPrefix(lower, "sortie-") || slices.Contains([]string{
		"host", "content-length", "transfer-encoding", "connection", "keep-alive",
		"proxy-connection", "te", "trailer", "upgrade", "expect",
	}, lower)
}

// patterns checks a list of patterns, and gives them in canonical form.
func (c *checker) patterns(list []string, key string) ([]string, []Pattern) {
	if len(list) > maxSecretAllow {
		c.bad(key, "%d entries; %d is the most", len(list), maxSecretAllow)
		return list, nil
	}
	var canonical []string
	var parsed []Pattern
	for i, s := range list {
		p, err := ParsePattern(s)
		if err != nil {
			c.bad(item(key, i), "%s", ruleMessage(s, err))
			continue
		}
		canonical, parsed = append(canonical, p.String()), append(parsed, p)
	}
	return canonical, parsed
}

// narrow holds a manifest's secrets inside the operator's. A secret that does
// not say where it may be sent gets the operator's answer.
func (c *checker) narrow(o *Operator, m *Manifest) {
	for i := range m.Secrets {
		s, key := &m.Secrets[i], item("secrets", i)
		theirs, ok := o.Secrets[s.Name]
		if !ok {
			at := c.at(c.full(key + ".name"))
			c.report(&Error{
				File: at.file, Key: c.full(key + ".name"), Line: at.line, Column: at.column,
				Message: fmt.Sprintf("the operator has no secret %s", quote(s.Name)),
				Nearest: nearest(s.Name, slices.Sorted(maps.Keys(o.Secrets))),
			})
			continue
		}
		if !MatchName(theirs.Plugins, m.Name) {
			c.bad(key+".name", "the operator does not give secret %s to plugin %s", quote(s.Name), quote(m.Name))
			continue
		}
		if len(s.Allow) == 0 {
			s.Allow = slices.Clone(theirs.Allow)
			continue
		}
		for j, allow := range s.Allow {
			if !covered(theirs.Allow, allow) {
				c.bad(item(key+".allow", j), "the operator does not let secret %s be sent to %s", quote(s.Name), quote(allow))
			}
		}
	}
}

func covered(allowed []string, asked string) bool {
	q, err := ParsePattern(asked)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(allowed, func(s string) bool {
		p, err := ParsePattern(s)
		return err == nil && p.Covers(q)
	})
}

// ResolveSecrets reads the values of the operator's secrets, by name, with
// os.LookupEnv and os.ReadFile or the like. One newline at the end of a file is
// cut off. A value that is missing, empty or can't stand in a header is an
// error; no error shows a value.
func (o *Operator) ResolveSecrets(lookupEnv func(string) (string, bool), readFile func(string) ([]byte, error)) (map[string]string, error) {
	values := make(map[string]string, len(o.Secrets))
	var errs Errors
	for _, name := range slices.Sorted(maps.Keys(o.Secrets)) {
		s := o.Secrets[name]
		key, value, message := child("secrets", name), "", ""
		if s.Env != "" {
			key += ".env"
			value, message = fromEnv(s.Env, lookupEnv)
		} else {
			key += ".file"
			value, message = fromFile(s.File, readFile)
		}
		if message == "" {
			message = badValue(value)
		}
		if message != "" {
			errs = append(errs, &Error{File: operatorFile, Key: key, Message: message})
			continue
		}
		values[name] = value
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return values, nil
}

// badValue says what is wrong with a secret's value, without showing it.
func badValue(value string) string {
	switch {
	case value == "":
		return "the secret is empty"
	case len(value) > maxSecretBytes:
		return fmt.Sprintf("the secret has %d bytes; %d is the most", len(value), maxSecretBytes)
	case !httpguts.ValidHeaderFieldValue(value):
		return "the secret has a character that can't stand in a header"
	}
	return ""
}

// ValidSecretName tells whether a secret can have that name.
func ValidSecretName(name string) bool { return regexp.MustCompile(secretPattern).MatchString(name) }

// CheckSecretValue says what is wrong with a secret's value: it is empty, has
// more than 64 KiB, or can't stand in a header. The error doesn't show it.
func CheckSecretValue(value string) error {
	if message := badValue(value); message != "" {
		return errors.New(message)
	}
	return nil
}

// CheckSecret checks a secret that isn't defined in the operator's
// configuration as one is that is, and gives its bounds in canonical form. The
// error is [Errors], without a file.
func CheckSecret(name string, allow, plugins []string) (OperatorSecret, error) {
	s := OperatorSecret{Allow: slices.Clone(allow), Plugins: slices.Clone(plugins)}
	c := &checker{decoder: newDecoder("", &s)}
	if !ValidSecretName(name) {
		c.bad("name", "that is not a secret's name; write API_KEY, for example") // it may be the value
	}
	if len(plugins) > maxSecretAllow {
		c.bad("plugins", "%d entries; %d is the most", len(plugins), maxSecretAllow)
	}
	c.secretBounds(&s, "")
	if err := c.result(); err != nil {
		return OperatorSecret{}, err
	}
	return s, nil
}

func fromEnv(variable string, lookupEnv func(string) (string, bool)) (value, message string) {
	value, ok := lookupEnv(variable)
	if !ok {
		return "", fmt.Sprintf("the environment has no %s", variable)
	}
	return value, ""
}

func fromFile(file string, readFile func(string) ([]byte, error)) (value, message string) {
	data, err := readFile(file)
	if err != nil {
		return "", err.Error()
	}
	value = strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(value, "\r"), ""
}
