package server

import (
	"slices"
	"strings"

	"github.com/sortie-run/sortie/host"
	"github.com/sortie-run/sortie/host/manifest"
)

// role is what a caller may do. Each includes those before it.
type role int

const (
	roleNone role = iota
	roleInvoke
	roleRead
	roleDeploy
	roleAdmin
)

var roleNames = [...]string{roleNone: "none", roleInvoke: "invoke", roleRead: "read", roleDeploy: "deploy", roleAdmin: "admin"}

func (r role) String() string { return roleNames[r] }

// parseRole reads a role that a token can have.
func parseRole(name string) (role, bool) {
	for r := roleInvoke; r <= roleAdmin; r++ {
		if roleNames[r] == name {
			return r, true
		}
	}
	return roleNone, false
}

// caller is who makes a request.
type caller struct {
	name    string // for the audit log
	role    role
	plugins []string // name patterns; an admin's don't count
}

// everyone is the caller on a server that is open.
var everyone = &caller{name: "anyone", role: roleAdmin}

// may is nil if the caller has that role for the plugin; "" stands for no plugin in particular. It doesn't depend on whether there is
// such a plugin.
func (c *caller) may(need role, plugin string) error {
	if c.role < need {
		return host.NewError(codeForbidden, "This needs the role %s; the token's is %s.", need, c.role)
	}
	if plugin != "" && !c.includes(plugin) {
		return host.NewError(codeForbidden, "The token is for the plugins %s; %.80q is none of them.", strings.Join(c.plugins, ", "), plugin)
	}
	return nil
}

// includesAll reports whether the caller's patterns include every plugin.
func (c *caller) includesAll() bool { return c.role == roleAdmin || slices.Contains(c.plugins, "*") }

// includes reports whether the caller's patterns include that plugin.
func (c *caller) includes(plugin string) bool {
	return c.role == roleAdmin || manifest.MatchName(c.plugins, plugin)
}
