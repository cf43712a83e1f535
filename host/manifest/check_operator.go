package manifest

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// operator checks the operator's configuration and puts it in canonical form.
func (c *checker) operator(o *Operator) {
	c.address("addr", o.Addr)
	if o.AdminAddr != "" {
		c.address("admin_addr", o.AdminAddr)
		if o.AdminAddr == o.Addr && !strings.HasSuffix(o.Addr, ":0") {
			c.bad("admin_addr", "the same as `addr`; leave it out to serve everything there")
		}
	}
	if strings.ContainsRune(o.Data, 0) {
		c.bad("data", "has a NUL character")
	}
	(&checker{decoder: c.decoder, prefix: "defaults"}).manifest(&o.Defaults)
	if o.Defaults.Name != "" {
		c.bad("defaults.name", "a name is no default; each plugin has its own")
	}
	c.ceilings(&o.Ceilings, "ceilings")
	for _, glob := range slices.Sorted(maps.Keys(o.Plugins)) {
		rules, key := o.Plugins[glob], child("plugins", glob)
		c.glob(glob, key)
		c.pluginRules(&rules, key)
		o.Plugins[glob] = rules
	}
	o.Private = c.private(o.Private)
	if len(o.Hosts.Allow) == 0 {
		c.bad("hosts.allow", "an empty list allows no host at all; if that is meant, deny [\"*\"]")
	}
	o.Hosts.Allow = c.hosts(o.Hosts.Allow, "hosts.allow")
	o.Hosts.Deny = c.hosts(o.Hosts.Deny, "hosts.deny")
	if len(o.Secrets) > maxItems {
		c.bad("secrets", "%d secrets; %d is the most", len(o.Secrets), maxItems)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Secrets)) {
		s := o.Secrets[name]
		c.operatorSecret(name, &s, child("secrets", name))
		o.Secrets[name] = s
	}
	if len(o.Upstreams) > maxItems {
		c.bad("upstreams", "%d upstreams; %d is the most", len(o.Upstreams), maxItems)
	}
	for i := range o.Upstreams {
		c.upstream(&o.Upstreams[i], item("upstreams", i))
	}
	c.dns(&o.DNS)
	c.process(&o.Process)
	c.oneOf("log.level", o.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.format", o.Log.Format, "json", "text")
	c.serving(o)
}

// address checks host:port. The host may be empty, for every interface.
func (c *checker) address(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		c.bad(key, "%s is not host:port, such as 127.0.0.1:8080 or :8080", quote(addr))
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		c.bad(key, "%s: port %s is not a number from 0 to 65535", quote(addr), quote(port))
		return
	}
	if strings.ContainsAny(host, "/ @") {
		c.bad(key, "%s: %s is not a host", quote(addr), quote(host))
	}
}

func (c *checker) ceilings(ceilings *Ceilings, key string) {
	ceilings.remember(c.decoder, key)
	for _, a := range amountTable() {
		v, ok := ceilings.listed(a)
		if !ok {
			continue
		}
		if wrong := a.check(v); wrong != "" {
			c.bad(key+"."+a.key, "%s", wrong)
		}
	}
}

func (c *checker) glob(glob, key string) {
	if err := CheckNamePattern(glob); err != nil {
		c.bad(key, "%s", err)
	}
}

func (c *checker) pluginRules(r *PluginRules, key string) {
	c.ceilings(&r.Ceilings, key+".ceilings")
	if r.Invocations < 0 || r.Invocations > maxCount {
		c.bad(key+".invocations", "%d; it is 0 (no limit) to %d", r.Invocations, maxCount)
	}
	if r.Rate != "" {
		if _, _, err := ParseRate(r.Rate); err != nil {
			c.bad(key+".rate", "%s", err)
		}
	}
	if r.Access != "" {
		c.oneOf(key+".access", r.Access, AccessToken, AccessPublic)
	}
	c.quota(r.Quota, key+".quota")
}

// private checks origins and CIDRs, and puts them in canonical form; an address
// alone is the CIDR that holds it only.
func (c *checker) private(list []string) []string {
	var out []string
	for i, s := range list {
		key := item("private", i)
		if prefix, ok := parsePrefix(s); ok {
			out = append(out, prefix.String())
			continue
		}
		p, err := ParsePattern(s)
		switch {
		case err != nil && !strings.Contains(s, "://"):
			c.bad(key, "%s is neither an origin, such as http://127.0.0.1:*, nor a CIDR, such as 10.0.0.0/8", quote(s))
		case err != nil:
			c.bad(key, "%s", ruleMessage(s, err))
		case p.Path != "":
			c.bad(key, "%s has a path; it is an origin or a CIDR", quote(s))
		default:
			out = append(out, p.String())
		}
	}
	return out
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return prefix.Masked(), true
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

// hosts checks host patterns, CIDRs and addresses, and puts them in canonical
// form.
func (c *checker) hosts(list []string, key string) []string {
	var out []string
	for i, s := range list {
		if prefix, ok := parsePrefix(s); ok {
			out = append(out, prefix.String())
			continue
		}
		var p Pattern
		err := checkPatternText(s)
		if err == nil && strings.ContainsAny(s, "/@:") && !strings.HasPrefix(s, "[") {
			err = fmt.Errorf("%s is not a host; write api.example.com, *.example.com, * or a CIDR", quote(s))
		}
		if err == nil {
			err = p.setHost(s)
		}
		switch {
		case err != nil:
			c.bad(item(key, i), "%s", err)
		case p.AnyHost:
			out = append(out, "*")
		case p.Wildcard:
			out = append(out, "*."+p.Host)
		default:
			out = append(out, p.Host)
		}
	}
	return out
}

func (c *checker) operatorSecret(name string, s *OperatorSecret, key string) {
	if !regexp.MustCompile(secretPattern).MatchString(name) {
		c.bad(key, "%s is not a secret's name; write API_KEY, for example", quote(name))
	}
	switch {
	case s.Env == "" && s.File == "":
		c.bad(key, "no value; a secret needs `env` or `file`")
	case s.Env != "" && s.File != "":
		c.bad(key, "both `env` and `file`; a secret has one value")
	case s.Env != "" && !regexp.MustCompile(variablePattern).MatchString(s.Env):
		c.bad(key+".env", "%s is not an environment variable's name", quote(s.Env))
	}
	c.secretBounds(s, key)
}

// secretBounds checks where a secret may be sent, and by whom. The key is ""
// where the secret stands by itself.
func (c *checker) secretBounds(s *OperatorSecret, key string) {
	allow, plugins := child(key, "allow"), child(key, "plugins")
	if len(s.Allow) == 0 {
		c.bad(allow, "missing; a secret needs `allow`, where it may be sent")
	}
	if len(s.Plugins) == 0 {
		c.bad(plugins, "missing; a secret needs `plugins`, who may use it")
	}
	s.Allow, _ = c.patterns(s.Allow, allow)
	for i, glob := range s.Plugins {
		c.glob(glob, item(plugins, i))
	}
}

func (c *checker) process(p *Process) {
	for _, field := range []struct {
		key          string
		value, least int
	}{
		{"process.invocations", p.Invocations, 1},
		{"process.queue", p.Queue, 0},
		{"process.fetches", p.Fetches, 1},
		{"process.per_origin", p.PerOrigin, 1},
	} {
		if field.value < field.least || field.value > maxCount {
			c.bad(field.key, "%d; it is %d to %d", field.value, field.least, maxCount)
		}
	}
	if p.Memory < leastMemory || p.Memory > maxSize {
		c.bad("process.memory", "%s; it is %s to %s", p.Memory, leastMemory, maxSize)
	}
	if p.Drain < 0 || p.Drain > maxDuration {
		c.bad("process.drain", "%s; it is 0s to %s", p.Drain, maxDuration)
	}
}
