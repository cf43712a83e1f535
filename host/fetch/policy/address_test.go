package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sortie-run/sortie/host/fetch/failure"
	"github.com/sortie-run/sortie/host/manifest"
)

// Addresses that a fetch must not reach unasked, and a word of what they are.
var specials = map[string]string{
	// IPv4, by the IANA special-purpose registry.
	"0.0.0.0": "unspecified", "0.1.2.3": "reserved", "0.255.255.255": "reserved",
	"10.0.0.0": "private", "10.255.255.255": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.0.1": "private",
	"100.64.0.0": "reserved", "100.127.255.255": "reserved", "100.100.100.200": "reserved", // CGNAT, and a cloud's metadata in it
	"127.0.0.1": "loopback", "127.255.255.254": "loopback",
	"169.254.0.1": "link-local", "169.254.169.254": "link-local", // metadata
	"192.0.0.1": "reserved", "192.0.0.192": "reserved", "192.0.2.1": "reserved", "198.51.100.1": "reserved", "203.0.113.1": "reserved",
	"192.88.99.1": "reserved", "198.18.0.1": "reserved", "198.19.255.255": "reserved",
	"224.0.0.1": "multicast", "239.255.255.255": "multicast", "240.0.0.1": "reserved", "255.255.255.255": "reserved",
	"168.63.129.16": "reserved",
	// IPv6.
	"::": "unspecified", "::1": "loopback",
	"fe80::1": "link-local", "febf::1": "link-local", "fec0::1": "reserved", "feff::1": "reserved",
	"fc00::1": "private", "fdff::1": "private", "fd00:ec2::254": "private",
	"ff02::1": "multicast", "ff0e::1": "multicast",
	"100::1": "reserved", "100:0:0:1::1": "reserved", "2001:db8::1": "reserved", "3fff::1": "reserved", "5f00::1": "reserved",
	"2001:2::1": "reserved", "2001:10::1": "reserved", "2001:20::1": "reserved", "3ffe::1": "reserved",
	"4000::1": "reserved", "1::1": "reserved",
	// What carries an IPv4 address, public or not.
	"::ffff:127.0.0.1": "IPv4-mapped form of a loopback", "::ffff:10.0.0.1": "IPv4-mapped", "::ffff:8.8.8.8": "IPv4-mapped",
	"::ffff:0:127.0.0.1": "IPv4-translated", "::127.0.0.1": "IPv4-compatible", "::8.8.8.8": "IPv4-compatible", "::2": "IPv4-compatible",
	"64:ff9b::127.0.0.1": "NAT64 form of a loopback", "64:ff9b::169.254.169.254": "NAT64 form of a link-local", "64:ff9b::8.8.8.8": "NAT64",
	"64:ff9b:1::10.0.0.1": "NAT64", "64:ff9b:1:ffff::1": "NAT64", "64:ff9b:2::1": "reserved",
	"2002:7f00:1::": "6to4 form of a loopback", "2002:a9fe:a9fe::1": "6to4 form of a link-local", "2002:808:808::1": "6to4",
	"2001:0:1:2:3:4:80ff:fffe": "Teredo form of a loopback", "2001::1": "Teredo",
	"2606:4700::5efe:127.0.0.1": "ISATAP form of a loopback", "2606:4700::200:5efe:8.8.8.8": "ISATAP",
	// Zones.
	"fe80::1%eth0": "scoped", "2606:4700::1111%eth0": "scoped", "::ffff:8.8.8.8%1": "scoped",
}

var publics = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255",
	"172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
	"168.63.129.17", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2620:fe::fe", "2003::1",
}

func TestSpecialAddresses(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{Rules: rules("https://*")})
	u := mustParse(t, "https://name.example/")
	d := p.Decide("GET", u)
	for text, kind := range specials {
		err := p.AddressAllowed(d, u, netip.AddrPortFrom(netip.MustParseAddr(text), 443))
		var fail *failure.Error
		if !errors.As(err, &fail) || fail.Code != failure.AddressDenied || fail.Retryable {
			t.Errorf("%s: %v, want address_denied", text, err)
			continue
		}
		if !strings.Contains(fail.Message, kind) {
			t.Errorf("%s: %q lacks %q", text, fail.Message, kind)
		}
		if addr := netip.MustParseAddr(text).String(); strings.Contains(fail.Message, addr) || !strings.Contains(fail.Unwrap().Error(), addr) {
			t.Errorf("%s: message %q, cause %q: the address belongs into the cause alone", text, fail.Message, fail.Err)
		}
	}
	for _, text := range publics {
		if err := p.AddressAllowed(d, u, netip.AddrPortFrom(netip.MustParseAddr(text), 443)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := p.AddressAllowed(d, u, netip.AddrPort{}); failure.CodeOf(err) != failure.AddressDenied {
		t.Errorf("the zero address: %v", err)
	}
}

func TestADeniedDecisionAllowsNoAddress(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{Rules: []manifest.Rule{{URL: "https://x", Methods: []string{"GET"}}}})
	u := mustParse(t, "https://x/")
	public := netip.MustParseAddrPort("8.8.8.8:443")
	for _, d := range []Decision{{}, p.Decide("POST", u), p.Decide("GET", mustParse(t, "https://y/"))} {
		if err := p.AddressAllowed(d, u, public); err == nil {
			t.Errorf("%+v allows an address", d)
		}
	}
	if err := p.AddressAllowed(p.Decide("GET", u), u, public); err != nil {
		t.Error(err)
	}
}

// A special address needs both: the rule's private and the operator's.
func TestPrivate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		operator []string
		url      string
		addr     string
		ok       bool // with private: true in the rule
	}{
		{nil, "http://127.0.0.1:9000/", "127.0.0.1", false},
		{[]string{"http://127.0.0.1:*"}, "http://127.0.0.1:9000/", "127.0.0.1", true},
		{[]string{"http://127.0.0.1:*"}, "http://0x7f.1:9000/", "127.0.0.1", true},
		{[]string{"http://127.0.0.1:*"}, "https://127.0.0.1:9000/", "127.0.0.1", false},
		{[]string{"http://127.0.0.1:*"}, "http://127.0.0.2:9000/", "127.0.0.2", false},
		{[]string{"http://127.0.0.1:*"}, "http://localhost:9000/", "127.0.0.1", false},
		{[]string{"http://127.0.0.1:*"}, "http://rebound.example:9000/", "127.0.0.1", false},
		{[]string{"http://127.0.0.1:*"}, "http://[::ffff:127.0.0.1]:9000/", "::ffff:127.0.0.1", false},
		{[]string{"http://127.0.0.1"}, "http://127.0.0.1/", "127.0.0.1", true},
		{[]string{"http://127.0.0.1"}, "http://127.0.0.1:9000/", "127.0.0.1", false},
		{[]string{"http://[::1]:*"}, "http://[::1]:9000/", "::1", true},
		{[]string{"http://db.internal:*"}, "http://db.internal:1/", "10.0.0.7", true},
		{[]string{"http://*.internal:*"}, "http://db.internal:1/", "fd00::7", true},
		{[]string{"http://*.internal:*"}, "http://internal:1/", "10.0.0.7", false},
		{[]string{"http://localhost:*"}, "http://localhost:9000/", "::1", true},
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "10.0.0.7", true},
		{[]string{"10.9.8.7/8"}, "http://db.internal/", "10.0.0.7", true},
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "11.0.0.7", true}, // public anyway
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "192.168.0.1", false},
		{[]string{"10.0.0.7"}, "http://db.internal/", "10.0.0.7", true},
		{[]string{"10.0.0.7"}, "http://db.internal/", "10.0.0.8", false},
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "::ffff:10.0.0.7", true},
		{[]string{"::ffff:10.0.0.0/104"}, "http://db.internal/", "10.0.0.7", true},
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "64:ff9b::10.0.0.7", false},
		{[]string{"10.0.0.0/8"}, "http://db.internal/", "2002:a00:7::", false},
		{[]string{"64:ff9b::/96"}, "http://db.internal/", "64:ff9b::10.0.0.7", true},
		{[]string{"fe80::/10"}, "http://db.internal/", "fe80::1", true},
		{[]string{"fe80::/10"}, "http://db.internal/", "fe80::1%eth0", false},
		{[]string{"0.0.0.0/0"}, "http://db.internal/", "169.254.169.254", true},
		{[]string{"0.0.0.0/0"}, "http://db.internal/", "::1", false},
	} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(tc.addr), 9000)
		for _, private := range []bool{true, false} {
			p := mustNew(t, Config{
				Rules:   []manifest.Rule{{URL: "http://*:*", Private: private}, {URL: "https://*:*", Private: private}},
				Private: tc.operator,
			})
			u := mustParse(t, tc.url)
			err := p.AddressAllowed(p.Decide("GET", u), u, addr)
			want := tc.ok && (private || special(addr.Addr()) == "")
			if (err == nil) != want {
				t.Errorf("operator %q, private %v, %s at %s: %v", tc.operator, private, tc.url, tc.addr, err)
			}
		}
	}
}

func TestTheMessageSaysWhatToDo(t *testing.T) {
	t.Parallel()
	u := mustParse(t, "http://db.internal:5000/a")
	addr := netip.MustParseAddrPort("10.0.0.7:5000")
	for private, want := range map[bool][]string{
		false: {"db.internal resolves to a private address", `rule 1 "http://db.internal:5000" needs private: true`, `"http://db.internal:5000"`},
		true:  {"db.internal resolves to a private address", "says private: true", "sortie.yaml", `"http://db.internal:5000"`},
	} {
		p := mustNew(t, Config{Rules: []manifest.Rule{{URL: "http://db.internal:5000", Private: private}}})
		err := p.AddressAllowed(p.Decide("GET", u), u, addr)
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("private %v: %q lacks %q", private, err, part)
			}
		}
	}
}

func TestHostsDenyCoversAnswers(t *testing.T) {
	t.Parallel()
	p := mustNew(t, Config{
		Rules:     []manifest.Rule{{URL: "http://*:*", Private: true}},
		Private:   []string{"0.0.0.0/0", "::/0"},
		HostsDeny: []string{"8.8.0.0/16", "10.0.0.7"},
	})
	u := mustParse(t, "http://name.example/")
	d := p.Decide("GET", u)
	for text, want := range map[string]bool{
		"8.8.8.8": false, "8.9.0.1": true, "10.0.0.7": false, "10.0.0.8": true, "::ffff:8.8.8.8": false, "64:ff9b::8.8.8.8": false,
		"2002:808:808::": false, "2606:4700::5efe:8.8.8.8": false, "64:ff9b::8.9.0.1": true,
	} {
		err := p.AddressAllowed(d, u, netip.AddrPortFrom(netip.MustParseAddr(text), 80))
		if (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && failure.CodeOf(err) != failure.AddressDenied {
			t.Errorf("%s: code %s", text, failure.CodeOf(err))
		}
	}
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"::ffff:1.2.3.4": "1.2.3.4", "::1.2.3.4": "1.2.3.4", "64:ff9b::1.2.3.4": "1.2.3.4", "64:ff9b:1::1.2.3.4": "1.2.3.4",
		"2002:102:304::5": "1.2.3.4", "2001:0:9:9:9:9:fefd:fcfb": "1.2.3.4", "fe80::5efe:102:304": "1.2.3.4", "::ffff:0:1.2.3.4": "1.2.3.4",
		"::": "", "::1": "", "1.2.3.4": "", "2606:4700::1": "", "2001:1::1": "", "2003::1": "",
	} {
		inner, form := embedded(netip.MustParseAddr(text))
		if got := ""; inner.IsValid() {
			got = inner.String()
			if got != want || form == "" {
				t.Errorf("%s embeds %q (%s), want %q", text, got, form, want)
			}
		} else if want != "" || form != "" {
			t.Errorf("%s embeds nothing (%q), want %q", text, form, want)
		}
	}
}
