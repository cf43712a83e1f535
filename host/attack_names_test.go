package host_test

import "github.com/sortie-run/sortie/host/fetch/failure"

// Names that lead to where the policy doesn't, at once or later.

// answers are what a resolver says of a name that any rule allows.
var answers = []string{
	"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
	"192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%lo", "2600::5%lo",
	"fe80::1%1", "::1%lo", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
	"::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::127.0.0.1",
	"64:ff9b:1:7f00:0:100::", "2002:7f00:1::1", "2001:0:1:1::80ff:fffe", "2600::5efe:127.0.0.1", "2600::200:5efe:7f00:1",
	"::ffff:127.0.0.1%lo", "127.0.0.1,::1", "10.0.0.1,127.0.0.1,::1,fe80::1", "::ffff:127.0.0.1,127.0.0.1,::1",
	"169.254.169.254,::ffff:169.254.169.254",
}

func nameSieges() []siege {
	inward := siege{
		name:    "names/that lead inwards",
		private: []string{"http://lure.test:*", "10.77.0.0/16"},
		rules: `
    - {url: "http://lure.test:*", private: true}
    - {url: "https://*:*", private: true}
    - "http://*:*"
`,
		names: map[string][]string{"none.test": {""}},
		attacks: []attack{
			{name: "both permit it", url: "http://lure.test:{l}/", sent: "GET / lure.test:{l}"},
			{name: "no such name", url: "http://none.test:{c}/", want: failure.DNSError},
		},
	}
	for i, answer := range answers {
		name := "n" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + ".test"
		inward.names[name] = []string{answer}
		inward.attacks = append(inward.attacks,
			attack{name: answer, url: "http://" + name + ":{c}/", want: failure.AddressDenied},
			attack{name: answer, url: "https://" + name + ":{c}/", want: failure.AddressDenied},
		)
	}
	return []siege{inward, rebinding(), mixed()}
}

// In both of these 127.0.0.1 stands for an address that may be reached; 127.0.0.2 and ::1 may not, and the tripwire is there.
var reachable = []string{"127.0.0.1/32", "127.0.0.3/32"}

// rebinding is names whose answers are good when a fetch begins.
func rebinding() siege {
	return siege{
		name:    "names/that change",
		private: reachable,
		rules:   `    - {url: "http://*:*", private: true}`,
		names: map[string][]string{
			"*.tripwire.test": {"127.0.0.1", "127.0.0.2"},
			"*.v6.test":       {"127.0.0.1", "::1"},
			"*.mapped.test":   {"127.0.0.1", "::ffff:127.0.0.2"},
			"*.metadata.test": {"127.0.0.1", "169.254.169.254"},
			"*.third.test":    {"127.0.0.1", "127.0.0.1", "127.0.0.2"},
			"*.gone.test":     {"127.0.0.1", ""},
			"*.back.test":     {"127.0.0.1", "127.0.0.2", "127.0.0.1"},
			"*.good.test":     {"127.0.0.1"},
		},
		attacks: []attack{
			{name: "doesn't change", url: "http://r{run}.good.test:{l}", location: "http://r{run}.good.test:{l}/x", sent: "GET /x r{run}.good.test:{l}"},
			{name: "redirect to itself", url: "http://a{run}.tripwire.test:{l}", location: "http://a{run}.tripwire.test:{l}/x", want: failure.AddressDenied},
			{name: "relative redirect", url: "http://b{run}.tripwire.test:{l}", location: "/x", want: failure.AddressDenied},
			{name: "redirect in capitals", url: "http://c{run}.tripwire.test:{l}", location: "http://C{run}.TRIPWIRE.test:{l}/x", want: failure.AddressDenied},
			{name: "empty redirect, 308", url: "http://d{run}.tripwire.test:{l}", location: "?x", status: 308, want: failure.AddressDenied},
			{name: "retry", url: "http://e{run}.tripwire.test:{l}", location: "none", status: 503, want: failure.AddressDenied},
			{name: "redirect to another port", url: "http://f{run}.tripwire.test:{l}", location: "http://f{run}.tripwire.test:{c}/", want: failure.AddressDenied},
			{name: "at the end of a chain", url: "http://g{run}.third.test:{l}", hops: 1, location: "/x", want: failure.AddressDenied},
			{name: "from the lure", url: "http://r{run}.good.test:{l}", hops: 8, location: "http://h{run}.tripwire.test:{l}/", sent: "GET / h{run}.tripwire.test:{l}"},
			{name: "IPv6", url: "http://i{run}.v6.test:{l}", location: "/x", want: failure.AddressDenied},
			{name: "IPv4-mapped", url: "http://j{run}.mapped.test:{l}", location: "/x", want: failure.AddressDenied},
			{name: "metadata service", url: "http://k{run}.metadata.test:{l}", location: "/latest/meta-data", want: failure.AddressDenied},
			{name: "vanishes", url: "http://m{run}.gone.test:{l}", location: "/x", want: failure.DNSError},
			{name: "there and back", url: "http://n{run}.back.test:{l}", location: "/x", hops: 1, want: failure.AddressDenied},
		},
	}
}

// mixed is names with several addresses, of which only some may be reached.
func mixed() siege {
	return siege{
		name:    "names/with good and bad addresses",
		private: reachable,
		rules:   `    - {url: "http://*:*", private: true}`,
		names: map[string][]string{
			"a.test": {"127.0.0.2,127.0.0.1"}, "b.test": {"::1,127.0.0.1"}, "c.test": {"127.0.0.1,::1,127.0.0.2"},
			"d.test": {"::ffff:127.0.0.2,10.0.0.1,::1,127.0.0.1"}, "dead.test": {"127.0.0.2,127.0.0.3,::1"},
			"bad.test": {"127.0.0.2,::1,10.0.0.1"}, "mapped.test": {"::ffff:127.0.0.1"},
		},
		attacks: []attack{
			{name: "the bad one first", url: "http://a.test:{l}/", sent: "GET / a.test:{l}"},
			{name: "the bad one is IPv6", url: "http://b.test:{l}/", sent: "GET / b.test:{l}"},
			{name: "the good one first", url: "http://c.test:{l}/", sent: "GET / c.test:{l}"},
			{name: "many bad ones", url: "http://d.test:{l}/", sent: "GET / d.test:{l}"},
			{name: "the good one, mapped", url: "http://mapped.test:{l}/", sent: "GET / mapped.test:{l}"},
			{name: "the good one is dead", url: "http://dead.test:{l}/", want: failure.ConnectError},
			{name: "only bad ones", url: "http://bad.test:{l}/", want: failure.AddressDenied},
		},
	}
}
