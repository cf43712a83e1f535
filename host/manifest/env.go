package manifest

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

const (
	envPrefix    = "SORTIE_"
	portVariable = "PORT"
)

// ApplyEnv lays environment variables, as os.Environ gives them, over the
// configuration. SORTIE_ and a key in capitals sets that key, with two
// underscores for each level: SORTIE_PROCESS__PER_ORIGIN=64. A list is separated
// by commas. An empty variable counts as not set. Plugins and secrets are named
// as in the file, a plugin's dashes as underscores, a header's too:
// SORTIE_PLUGINS__SEARCH_WEB__RATE=10/s, SORTIE_SECRETS__API_KEY__ENV=KEY.
//
// PORT sets the port of addr where neither the file nor SORTIE_ADDR gives addr.
//
// SORTIE_SERVER, SORTIE_TOKEN, SORTIE_ADMIN_TOKEN, SORTIE_SECRETS_KEY,
// SORTIE_SECRETS_KEY_FILE and SORTIE_CONFIG are not keys of the configuration
// and are left alone, as is what Kubernetes sets for a service called sortie
// (SORTIE_PORT…, SORTIE_SERVICE_…). Any other variable that names no key is an
// error. Errors are [Errors], each with the variable's name as its File; the
// configuration is then as it was.
func (o *Operator) ApplyEnv(environ []string) error {
	next := o.clone()
	d := newDecoder(operatorFile, next)
	var port string
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case value == "":
		case name == portVariable:
			port = value
		case strings.HasPrefix(name, envPrefix) && !reserved(strings.TrimPrefix(name, envPrefix)):
			d.overlay(variableNode(name, value), next)
		}
	}
	if _, err := next.finish(d); err != nil {
		return err
	}
	if err := next.applyPort(port); err != nil {
		return Errors{err}
	}
	*o = *next
	return nil
}

// reserved says whether a variable's name, without SORTIE_, is no key.
func reserved(name string) bool {
	return slices.Contains([]string{"SERVER", "TOKEN", "ADMIN_TOKEN", "SECRETS_KEY", "SECRETS_KEY_FILE", "CONFIG", "PORT"}, name) ||
		strings.HasPrefix(name, "PORT_") || strings.HasPrefix(name, "SERVICE_")
}

// variableNode gives a variable as the file would: nested mappings around its
// text. A text that has to be a number or a list becomes one when decoded.
func variableNode(name, value string) *node {
	at := place{file: name}
	n := &node{kind: kindText, text: value, place: at, env: true}
	levels := strings.Split(strings.TrimPrefix(name, envPrefix), "__")
	for i := len(levels) - 1; i >= 0; i-- {
		key := strings.ToLower(levels[i])
		switch {
		case i == 1 && levels[0] == "SECRETS":
			key = levels[i] // as in the file, where capitals are usual
		case i == 1 && levels[0] == "PLUGINS", i == 3 && strings.HasPrefix(name, envPrefix+"DEFAULTS__SMOKE__HEADERS__"):
			key = strings.ReplaceAll(key, "_", "-")
		}
		n = &node{kind: kindMapping, place: at, env: true, entries: []entry{{key: key, place: at, value: n}}}
	}
	return n
}

func (o *Operator) applyPort(port string) *Error {
	if port == "" || o.addrSet {
		return nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &Error{File: portVariable, Key: "addr", Message: quote(port) + " is not a port, 0 to 65535"}
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return &Error{File: portVariable, Key: "addr", Message: quote(o.Addr) + " has no port to set"}
	}
	o.Addr = net.JoinHostPort(host, port)
	o.sources["addr"] = Source{Key: "addr", File: portVariable}
	return nil
}
