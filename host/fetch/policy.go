package fetch

import (
	"time"

	"github.com/sortie-run/sortie/host/manifest"
)

// Policy is what the sessions of one client may fetch, and how much.
type Policy struct {
	Rules []manifest.Rule // the first that matches decides; none: nothing is allowed

	// Limits are taken as they are if any of them is set: 0 requests is none at all. Durations and the concurrency that are 0 mean
	// the manifest's defaults, but for AttemptTimeout, where 0 is none. If none is set, all are the manifest's defaults.
	Limits manifest.FetchLimits
	Retry  manifest.Retry // for requests that don't say; numbers that are all 0, and nil Statuses, mean the manifest's defaults

	Hedge time.Duration // for requests that don't say, as Request.Hedge; 0: never

	Cache Cache // none unless set

	Private    []string // origins and CIDRs where a rule with private may reach private addresses; none: nowhere
	HostsAllow []string // over all rules; nil: any host; empty but not nil: none
	HostsDeny  []string // over all rules, and over HostsAllow

	Secrets []Secret
	Vault   *Vault // where the secrets' values are; nil: in Secrets
	Plugin  string // whose policy it is, for the vault
}

// Secret is a header that is set on the requests to where it belongs, in place of one the guest may have set.
type Secret struct {
	Name   string             // for messages
	Header string             // field name
	Value  string             // field value, the whole of it, as it goes out; not with a Vault
	Format string             // with a Vault: the field value, with {secret} where the vault's goes
	Allow  []manifest.Pattern // URLs it is for; none: it is never sent, or with a Vault, wherever that lets it
}
