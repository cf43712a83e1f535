package policy_test

import (
	"fmt"
	"net/netip"

	"github.com/sortie-run/sortie/host/fetch/policy"
	"github.com/sortie-run/sortie/host/manifest"
)

func Example() {
	p, err := policy.New(policy.Config{Rules: []manifest.Rule{
		{URL: "https://api.example.com/v1/", Methods: []string{"GET"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, fail := policy.ParseURL("HTTPS://api.example.com:443/v0/../v1/prices?of=tea")
	if fail != nil {
		fmt.Println(fail)
		return
	}
	d := p.Decide("GET", u)
	fmt.Println(u, d.Allowed, "-", d.Reason)
	fmt.Println(p.Decide("POST", u).Code)
	fmt.Println(p.AddressAllowed(d, u, netip.MustParseAddrPort("10.0.0.7:443")))
	// Output:
	// https://api.example.com/v1/prices?of=tea true - rule 1 "https://api.example.com/v1/" allows it
	// method_denied
	// address_denied: api.example.com resolves to a private address; to reach it, rule 1 "https://api.example.com/v1/" needs private: true, and private in sortie.yaml (or SORTIE_PRIVATE) has to cover "https://api.example.com"
}

func ExamplePolicy_Explain() {
	p, _ := policy.New(policy.Config{Rules: []manifest.Rule{{URL: "https://*.example.com"}}})
	fmt.Println(p.Explain("GET", "https://example.com/").Reason)
	// Output:
	// no rule matches https://example.com/: rule 1 "https://*.example.com" covers the subdomains of example.com but not example.com itself; to allow it, add "https://example.com" to fetch.allow
}
