package host_test

import "github.com/sortie-run/sortie/host/fetch/failure"

// Spellings of addresses, against rules that allow every host: nothing but the judgement of addresses stands between.

// addresses are the hosts of URLs that are addresses, or look so.
var addresses = []struct {
	name  string
	code  failure.Code
	hosts []string
}{
	{"loopback in plain", failure.AddressDenied, []string{
		"127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "127.0.0.1.",
	}},
	{"short forms", failure.AddressDenied, []string{"127.1", "127.0.1", "127.1.", "127.257", "127.65537"}},
	{"one number", failure.AddressDenied, []string{"2130706433", "2130706433.", "2147483647"}},
	{"hexadecimal", failure.AddressDenied, []string{
		"0x7f000001", "0X7F000001", "0x7f.0.0.1", "0x7f.1", "0x7F.0x0.0x0.0x1", "0x7f.0x1", "0x00000000007f000001", "0x7f000001.",
	}},
	{"octal", failure.AddressDenied, []string{
		"0177.0.0.1", "0177.1", "017700000001", "00000000017700000001", "0177.0000.0000.0001", "127.000.000.001", "0177.0.0.01.",
	}},
	{"mixed bases", failure.AddressDenied, []string{"0177.0x0.0.1", "0x7f.0.01", "0177.0x1", "127.0x0.0.01", "0x7F.00.00.0X1"}},
	{"the unspecified", failure.AddressDenied, []string{
		"0", "0.", "0x", "0x.", "0x0", "00", "0.0", "0.0.0.0", "0.0.0.1", "00000000000", "0x00000000", "0x.0x.0x.0x",
	}},
	{"percent-encoded", failure.AddressDenied, []string{
		"%31%32%37.0.0.1", "127%2e0%2e0%2e1", "127%2E1", "%30x7f.1", "0%78%37f.1", "2130706%3433", "127.0.0.1%2e",
		"%EF%BC%91%EF%BC%92%EF%BC%97.1",
	}},
	{"full-width digits", failure.AddressDenied, []string{"１２７.０.０.１", "１２７．０．０．１", "０ｘ７ｆ.１", "０Ｘ７Ｆ０００００１", "２１３０７０６４３３", "０１７７.１"}},
	{"other dots", failure.AddressDenied, []string{"127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "127.0。0．1", "127。1", "127.0.0.1。"}},
	{"enclosed, mathematical, raised and lowered digits", failure.AddressDenied, []string{
		"①②⑦.⓪.⓪.①", "①②⑦。①", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "𝟙𝟚𝟟.𝟘.𝟘.𝟙", "𝟣𝟤𝟩.𝟣", "𝟭𝟮𝟳.𝟭", "𝟷𝟸𝟽.𝟷", "¹²⁷.⁰.⁰.¹", "₁₂₇.₀.₀.₁", "⓪ⓧ⑦ⓕ.①", "0ˣ7f.1",
	}},
	{"what IDNA ignores between", failure.AddressDenied, []string{
		"127\u00ad.0.0.1", "12\u200b7.0.0.1", "127.0.0.\u20601", "127\ufe0f.1", "0x\u00ad7f.1", "127.0.0.1\u00ad",
	}},
	{"private networks", failure.AddressDenied, []string{
		"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "0xc0a80001", "3232235521", "192.168.1", "0300.0250.1",
		"10.1", "012.1", "0xa.1",
	}},
	{"metadata services", failure.AddressDenied, []string{
		"169.254.169.254", "169.254.169.254.", "2852039166", "0xA9FEA9FE", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376", "169.254.43518",
		"①⑥⑨.②⑤④.①⑥⑨.②⑤④", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]", "[fd20:ce::254]",
		"[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
	}},
	{"otherwise special", failure.AddressDenied, []string{
		"100.64.0.1", "100.127.255.255", "198.18.0.1", "198.19.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.8",
		"224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "0xffffffff", "192.88.99.1", "0.1.2.3",
	}},
	{"IPv6 loopback and unspecified", failure.AddressDenied, []string{
		"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]", "[0::1]", "[::0:1]", "[0:0::0:1]",
		"[::0.0.0.1]", "[::0.0.0.0]",
	}},
	{"IPv4-mapped", failure.AddressDenied, []string{
		"[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[0000::ffff:7f00:0001]", "[::ffff:0.0.0.0]",
		"[::ffff:10.0.0.1]", "[::ffff:8.8.8.8]",
	}},
	{"IPv4-compatible and -translated", failure.AddressDenied, []string{
		"[::127.0.0.1]", "[::7f00:1]", "[::a00:1]", "[::8.8.8.8]", "[::ffff:0:127.0.0.1]", "[::ffff:0:7f00:1]",
	}},
	{"NAT64", failure.AddressDenied, []string{
		"[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a00:1]", "[64:ff9b::8.8.8.8]", "[0064:ff9b:0:0:0:0:169.254.169.254]",
		"[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:7f00:0:100::]", "[64:ff9b:1:ffff:ffff:ffff:ffff:ffff]", "[64:ff9b:1:a9fe:a9:fe00::]",
	}},
	{"6to4 and Teredo", failure.AddressDenied, []string{
		"[2002:7f00:1::]", "[2002:7f00:1::1]", "[2002:a00:1::1]", "[2002:a9fe:a9fe::1]", "[2002:808:808::1]", "[2001::1]",
		"[2001:0:7f00:1::80ff:fffe]", "[2001:0:808:808:0:0:f5ff:fffe]",
	}},
	{"ISATAP", failure.AddressDenied, []string{
		"[2600::5efe:127.0.0.1]", "[2600::5efe:7f00:1]", "[2600::200:5efe:a00:1]", "[2a00::300:5efe:a9fe:a9fe]", "[2600::100:5efe:808:808]",
		"[fe80::5efe:7f00:1]",
	}},
	{"IPv6, otherwise special", failure.AddressDenied, []string{
		"[fe80::1]", "[febf::1]", "[fec0::1]", "[fc00::1]", "[fdff::1]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]",
		"[5f00::1]", "[100::1]", "[100:0:0:1::1]", "[2001:2::1]", "[2001:10::1]", "[3ffe::1]",
	}},
	{"names of the loopback", failure.AddressDenied, []string{
		"localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "loc%61lhost", "localho\u017ft",
		"localhost%2e", "local\u00adhost", "ｌocalhost。",
	}},
	{"numbers that are no address", failure.InvalidURL, []string{
		"256.0.0.1", "127.0.0.256", "127.0.65536", "127.16777216", "4294967296", "0x100000000", "040000000000", "1.2.3.4.5", "127.0.0.1.1",
		"127.0.0.0x100", "0x7f.0x0.0.0x100", "08.0.0.1", "127.0.0.09", "0127.0.0.08", "18446744073709551617", "0x10000000000000001",
		"1e3.1", "a.1", "localhost.1", "lure.test.0x7f000001", "1..1", "127..1", ".127.1", "127.0.0.1..", "..", ".", "127.1。。", "0x7g.1",
	}},
	{"signs", failure.InvalidURL, []string{
		"1.2.3.-4", "127.-1", "+127.0.0.1", "127.0.0.+1", "-127.1", "1.-1", "127.0.0.-0", "0x-7f.1", "1.+0x1", "127.0.0.－1", "127.0.0.＋1",
		"127.0.0.%2d1", "127.-0.0.1", "127.0.-0.1", "-0.0x7f000001", "0-7", "0x-7f000001", "127.0.0.0-1", "127.0.0.0x-1", "1-1.1",
	}},
	{"brackets", failure.InvalidURL, []string{
		"[::1", "::1", "::ffff:127.0.0.1", "[[::1]]", "[::1]]", "[[::1]", "[::1]x", "x[::1]", "[127.0.0.1]", "[]", "[:]", "[1::2::3]",
		"[:::1]", "[::1::]", "[v1.::1]", "[localhost]", "[lure.test]", "[::1]::1", "%5b::1%5d", "[%3A%3A1]", "[::１]", "[::1 ]",
		"[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7]", "[::00001]", "[::g]", "[::1/128]",
	}},
	{"IPv4 within brackets", failure.InvalidURL, []string{
		"[::ffff:127.0.0.1.]", "[::ffff:256.0.0.1]", "[::ffff:127.1]", "[::ffff:0x7f.0.0.1]", "[::ffff:0177.0.0.1]", "[::ffff:127.0.0.1:1]",
		"[127.0.0.1::]", "[::2130706433]", "[::ffff:127.0.0.01]",
	}},
	{"zones", failure.InvalidURL, []string{
		"[::1%lo]", "[::1%25lo]", "[fe80::1%eth0]", "[fe80::1%25eth0]", "[fe80::1%1]", "[fe80::1%251]", "[::1%]", "[::1%25]",
		"[::ffff:127.0.0.1%25lo]", "[2600::1%25eth0]", "127.0.0.1%25lo", "localhost%25lo",
	}},
	{"what no host has", failure.InvalidURL, []string{
		"127.0.0.1%00", "127.0.0.1%20", "127.0.0.1%0a", "127.0.0.1%09", "%00127.0.0.1", "127.0.0.1%2fx", "127.0.0.1%5cx", "127.0.0.1%3a80",
		"127.0.0.1%40lure.test", "127.0.0.1%23", "127.0.0.1%3f", "127.0.0.1 ", "127.0 .0.1", "<127.0.0.1>", "127.0.0.1|", "127.0.0.1^",
		"127.0.0.1,lure.test", "{127.0.0.1}", "127.0.0.1%", "127.0.0.1%2", "127.0.0.1%zz", "127.0.0.1\ufffd", "%ff127.0.0.1", "*", "*.test",
		"1٫1", "127.0.0.1\ufff9",
	}},
}

// everywhere are the ways of a manifest and an operator to allow every host and still not these addresses. lure.test shows that private
// addresses are reached where both permit it.
var everywhere = []siege{{
	name:    "addresses/no rule says private",
	private: []string{"http://lure.test:*", "http://127.0.0.1:{l}", "10.77.0.0/16", "fd77::/16"},
	rules: `
    - {url: "http://lure.test:*", private: true}
    - "http://*:*"
    - "https://*:*"
`,
}, {
	name:    "addresses/the operator permits others",
	private: []string{"http://lure.test:*", "http://127.0.0.1:{l}", "10.77.0.0/16", "fd77::/16"},
	rules: `
    - {url: "http://*:*", private: true}
    - {url: "https://*:*", private: true}
`,
}, {
	name:    "addresses/private by another rule",
	private: []string{"http://*:*", "https://*:*"},
	rules: `
    - "http://*:{c}"
    - "https://*:{c}"
    - {url: "http://*:*", private: true}
    - {url: "https://*:*", private: true}
`,
}}

func addressSieges() []siege {
	attacks := []attack{
		{name: "a private origin that both permit", url: "http://lure.test:{l}/a", sent: "GET /a lure.test:{l}"},
	}
	for _, class := range addresses {
		for i, host := range class.hosts {
			scheme := "http"
			if i%4 == 3 {
				scheme = "https"
			}
			attacks = append(attacks, attack{name: class.name, url: scheme + "://" + host + ":{c}/", want: class.code})
		}
	}
	sieges := append([]siege(nil), everywhere...)
	for i := range sieges {
		sieges[i].attacks = attacks
	}
	return sieges
}
