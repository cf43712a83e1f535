package host_test

import (
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// URLs that are to look as if they were for a host or a port which a rule allows. The operator permits the loopback here and every name is
// there, so that nothing but the rules keeps them from the tripwire.

// disguises are URLs that are denied.
var disguises = []struct {
	name string
	code failure.Code
	urls []string
}{
	{"userinfo", failure.InvalidURL, []string{
		"http://lure.test@evil.test:{c}/", "http://lure.test:{l}@evil.test:{c}/", "http://lure.test:pw@evil.test:{c}/",
		"http://user@lure.test:{l}/", "http://@lure.test:{l}/", "http://:@lure.test:{l}/", "http://evil.test:{c}@lure.test:{l}/",
		"http://a@b@evil.test:{c}/", "http://lure.test%40@evil.test:{c}/", "http://lure.test%3a80@evil.test:{c}/",
		"http://lure.test%2f@evil.test:{c}/", "http://lure.test%23@evil.test:{c}/", "http:lure.test@evil.test:{c}/",
		`http:\\lure.test@evil.test:{c}/`, "http:///lure.test@evil.test:{c}/", "http://[::1]@evil.test:{c}/",
		"http://lure.test;@evil.test:{c}/", "http://lure.test&@evil.test:{c}/", "http://lure.test @evil.test:{c}/",
		"http://" + strings.Repeat("@", 2000) + "evil.test:{c}/", "https://lure.test@evil.test:{c}",
	}},
	{"where the host ends", failure.HostDenied, []string{
		"http://evil.test:{c}#@lure.test:{l}/", "http://evil.test:{c}/#@lure.test:{l}/", "http://evil.test:{c}?@lure.test:{l}/",
		"http://evil.test:{c}/?@lure.test/", "http://evil.test:{c}/@lure.test:{l}/", `http://evil.test:{c}\@lure.test:{l}/`,
		`http://evil.test:{c}\.wild.test/`, "http://evil.test:{c}/.wild.test/", "http://evil.test:{c}?.wild.test",
		"http://evil.test:{c}#.wild.test", "http://evil.test:{c}/;.wild.test", "http://evil.test:{c}//lure.test:{l}/",
		"http://evil.test:{c}/http://lure.test:{l}/", `http://evil.test:{c}\\lure.test`,
	}},
	{"slashes", failure.HostDenied, []string{
		"http:evil.test:{c}/", "http:/evil.test:{c}/", "http:///evil.test:{c}/", "http:////evil.test:{c}/", `http:\evil.test:{c}/`,
		`http:\\evil.test:{c}\`, `http:/\evil.test:{c}/`, `http:\/evil.test:{c}/`, `http:\\\evil.test:{c}`,
		"http:" + strings.Repeat("/", 400) + "evil.test:{c}/", "https:evil.test:{c}", "HTTP:evil.test:{c}", "hTtP://evil.test:{c}/",
		" http://evil.test:{c}/ ",
	}},
	{"beside the rule's host", failure.HostDenied, []string{
		"http://evil.test:{c}/", "http://lure.test.evil.test:{c}/", "http://evil-lure.test:{c}/", "http://xlure.test:{c}/",
		"http://lure.testx:{c}/", "http://lure.tes:{c}/", "http://sub.lure.test:{c}/", "http://lure.test.:{c}/", "http://lure:{c}/",
		"http://test:{c}/", "http://lure-test:{c}/", "http://lure_test:{c}/", "http://luretest:{c}/", "http://lure.test.lure.tes:{c}/",
		"http://lure.test.com:{c}/",
	}},
	{"beside a wildcard", failure.HostDenied, []string{
		"http://wild.test:{c}/", "http://wild.test.:{c}/", "http://xwild.test:{c}/", "http://a.xwild.test:{c}/",
		"http://wild.test.evil.test:{c}/", "http://a.wild.test.evil.test:{c}/", "http://a.wild.test.:{c}/", "http://a.wild.tes:{c}/",
		"http://wild.test.wild.tes:{c}/", "http://a-wild.test:{c}/", "http://a_wild.test:{c}/", "http://%61wild.test:{c}/",
		"http://127.0.0.1:{c}/", "http://[::1]:{c}/", "http://2130706433:{c}/",
	}},
	{"empty labels", failure.InvalidURL, []string{
		"http://.wild.test:{c}/", "http://..wild.test:{c}/", "http://a..wild.test:{c}/", "http://.lure.test:{c}/", "http://lure..test:{c}/",
		"http://lure.test..:{c}/", "http://%2ewild.test:{c}/", "http://。wild.test:{c}/", "http://\u00ad.wild.test:{c}/",
		"http://\u200b.wild.test:{c}/", "http://%c2%ad.wild.test:{c}/",
	}},
	{"encoded delimiters", failure.InvalidURL, []string{
		"http://evil.test%2f.wild.test:{c}/", "http://evil.test%5c.wild.test:{c}/", "http://evil.test%23.wild.test:{c}/",
		"http://evil.test%3f.wild.test:{c}/", "http://evil.test%40a.wild.test:{c}/", "http://evil.test%3a80.wild.test:{c}/",
		"http://evil.test%00.wild.test:{c}/", "http://evil.test%20.wild.test:{c}/", "http://evil.test%09.wild.test:{c}/",
		"http://evil.test%0d%0a.wild.test:{c}/", "http://evil.test%25.wild.test:{c}/", "http://evil.test%252f.wild.test:{c}/",
		"http://evil.test%7f.wild.test:{c}/", "http://evil.test%.wild.test:{c}/", "http://evil.test%2.wild.test:{c}/",
		"http://lure.test%00:{c}/", "http://lure.test%3a{l}:{c}/", "http://lure.test%3a{c}/", "http://%lure.test:{c}/",
		"http://%ff.wild.test:{c}/", "http://%c0%ae.wild.test:{c}/", "http://%ed%a0%80.wild.test:{c}/",
		"http://evil.test%c0%af.wild.test:{c}/",
	}},
	{"delimiters that IDNA makes", failure.InvalidURL, []string{
		"http://evil.test／.wild.test:{c}/", "http://evil.test＼.wild.test:{c}/", "http://evil.test＃.wild.test:{c}/",
		"http://evil.test？.wild.test:{c}/", "http://evil.test＠a.wild.test:{c}/", "http://evil.test：80.wild.test:{c}/",
		"http://evil.test％2f.wild.test:{c}/", "http://℀.wild.test:{c}/", "http://evil.test℁.wild.test:{c}/", "http://℅.wild.test:{c}/",
		"http://℆.wild.test:{c}/", "http://⁇.wild.test:{c}/", "http://︖.wild.test:{c}/", "http://﹟.wild.test:{c}/",
		"http://﹫.wild.test:{c}/", "http://evil.test\u2028.wild.test:{c}/", "http://evil.test\u00a0.wild.test:{c}/",
		"http://evil.test\u3000.wild.test:{c}/", "http://［::1］:{c}/", "http://⑴.wild.test:{c}/", "http://²⁄₂＃.wild.test:{c}/",
	}},
	{"other characters that hosts don't have", failure.InvalidURL, []string{
		"http://a b.wild.test:{c}/", "http://a|b.wild.test:{c}/", "http://a^b.wild.test:{c}/", "http://a<b.wild.test:{c}/",
		"http://a,b.wild.test:{c}/", "http://a!b.wild.test:{c}/", "http://a$b.wild.test:{c}/", "http://a'b.wild.test:{c}/",
		"http://a*b.wild.test:{c}/", "http://*.wild.test:{c}/", "http://a;b.wild.test:{c}/", "http://a=b.wild.test:{c}/",
		"http://a~b.wild.test:{c}/", "http://(a).wild.test:{c}/", "http://a`b.wild.test:{c}/", `http://a"b.wild.test:{c}/`,
		"http://a\u202eb.wild.test:{c}/", "http://a\ufffdb.wild.test:{c}/", "http://\xff.wild.test:{c}/",
		"http://a\xc0\xaeb.wild.test:{c}/", "http://\uf8ff.wild.test:{c}/", "http://" + strings.Repeat("a", 64) + ".wild.test:{c}/",
		"http://" + strings.Repeat("a.", 125) + "wild.test:{c}/",
	}},
	{"lookalikes", failure.HostDenied, []string{
		"http://lurе.test:{c}/", "http://ӏure.test:{c}/", "http://1ure.test:{c}/", "http://Iure.test:{c}/", "http://lüre.test:{c}/",
		"http://lu\u0308re.test:{c}/", "http://lure\u0323.test:{c}/", "http://lυre.test:{c}/", "http://ｌurе.test:{c}/",
		"http://lure·test:{c}/", "http://lure.tеst:{c}/", "http://ɭure.test:{c}/", "http://lure.teṣt:{c}/", "http://xn--lur-rdd.test:{c}/",
		"http://strasse.test:{c}/", "http://STRASSE.test:{c}/", "http://l\u0131re.test:{c}/", "http://₁∕₂.test:{c}/",
		"http://a.wıld.test:{c}/", "http://a.wild.tesτ:{c}/", "http://a.wiId.test:{c}/", "http://a.w\u0456ld.test:{c}/",
		"http://a.wi1d.test:{c}/",
	}},
	{"malformed Punycode", failure.InvalidURL, []string{
		"http://xn--.wild.test:{c}/", "http://xn--a.wild.test:{c}/", "http://xn--0.wild.test:{c}/", "http://xn--lure-.test:{c}/",
		"http://xn--lure-9999999999.wild.test:{c}/", "http://XN--A.wild.test:{c}/", "http://xn--é.wild.test:{c}/",
		"http://xn--a-ecp.wild.test:{c}/", "http://xn--\u00ad.wild.test:{c}/", "http://xn---.wild.test:{c}/",
		"http://%78n--.wild.test:{c}/", "http://xn--ls8h=.wild.test:{c}/", "http://wild.test.xn--:{c}/", "http://lure.test.xn--:{l}/",
		"http://lure.test.XN--:{l}/", "http://lure.test.xn--\u00ad:{l}/", "http://lure.test。ｘn--:{l}/", "http://lure.test.%78n--:{l}/",
		"http://a≠b.wild.test:{c}/", "http://xn--ab-miv.wild.test:{c}/", "http://aℵb.wild.test:{c}/", "http://xn--ab-vld.wild.test:{c}/",
	}},
	{"zero-width joiners", failure.InvalidURL, []string{
		"http://lu\u200dre.test:{c}/", "http://lu\u200cre.test:{c}/", "http://a\u200d.wild.test:{c}/", "http://\u200c.wild.test:{c}/",
		"http://%e2%80%8d.wild.test:{c}/",
	}},
	{"another port", failure.HostDenied, []string{
		"http://exact.test:{c}/", "http://exact.test:0{c}/", "http://exact.test/", "http://exact.test:/", "http://exact.test:80/",
		"http://exact.test:443/", "http://exact.test:22/", "http://exact.test:00022/", "http://exact.test:65535/", "http://exact.test:1/",
		"https://secure.test:{c}/", "https://secure.test:80/", "https://secure.test:4430/", "https://exact.test:{c}/",
		"https://exact.test:{l}/", "http://plain.test:{c}/", "http://plain.test:443/", "https://plain.test:{c}/", "https://plain.test:80/",
		"https://plain.test/",
	}},
	{"another scheme on that port", failure.HostDenied, []string{
		"http://secure.test/", "http://secure.test:443/", "http://secure.test:80/", "https://lure.test:{l}/", "https://a.wild.test:{c}/",
		"https://wild.test:{c}/",
	}},
	{"no port", failure.InvalidURL, []string{
		"http://lure.test:0/", "http://lure.test:00000/", "http://lure.test:65536/", "http://lure.test:99999/",
		"http://lure.test:4294967376/", "http://lure.test:18446744073709551696/", "http://lure.test:" + strings.Repeat("9", 300) + "/",
		"http://lure.test:-1/", "http://lure.test:-{c}/", "http://lure.test:+{c}/", "http://lure.test:+80/", "http://lure.test:{c}x/",
		"http://lure.test:x{c}/", "http://lure.test:{c} /", "http://lure.test: {c}/", "http://lure.test:{c}./", "http://lure.test:{c}.0/",
		"http://lure.test:0x50/", "http://lure.test:8e1/", "http://lure.test:８０/", "http://lure.test:%38%30/", "http://lure.test:{c}%20/",
		"http://lure.test:{l}:{c}/", "http://lure.test::{c}/", "http://lure.test:http/", "http://lure.test:*/", "http://lure.test:①/",
		"http://lure.test:٨٠/", "http://:{c}/", "http://:0/", "https://:443/", "http://exact.test:{c}@/", "http://lure.test:{c},{l}/",
		"http://lure.test:80;/", "http://lure.test:{c}_/", "http://lure.test:1_0/",
	}},
	{"another scheme", failure.UnsupportedProtocol, []string{
		"file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "file://lure.test/x", "gopher://lure.test:{l}/_x",
		"ftp://lure.test/", "ftps://lure.test/", "ws://lure.test:{l}/", "wss://lure.test:{l}/", "data:text/plain,x", "javascript:x",
		"blob:http://lure.test:{l}/x", "about:blank", "unix:/run/docker.sock", "http+unix://%2frun/x", "httpx://lure.test:{l}/",
		"httpss://lure.test/", "xhttp://lure.test:{l}/", "h2://lure.test/", "dict://lure.test:{l}/x", "ldap://lure.test/",
		"tftp://lure.test/", "smb://lure.test/x", "jar:http://lure.test:{l}/x!/", "view-source:http://lure.test:{l}/", "lure.test:{l}/",
		"lure.test:80", "localhost:{c}/", "mailto:a@lure.test", "s3://lure.test/", "http.://lure.test/", "http-://lure.test/",
	}},
	{"no scheme", failure.InvalidURL, []string{
		"", " ", "lure.test", "//evil.test:{c}/", "//lure.test:{l}/", "/", "/x", "x", "?", "#", ":", "://lure.test/",
		"1http://lure.test:{l}/", "ｈttp://lure.test:{l}/", "httſ://lure.test:{l}/", "ht%74p://lure.test:{l}/", "http", `\\evil.test:{c}\`,
		"-http://x", "127.0.0.1:{c}", "[::1]:{c}", "<http://lure.test:{l}/>", `"http://lure.test:{l}/"`, "\ufeffhttp://lure.test:{l}/",
		"\u00a0http://lure.test:{l}/",
	}},
	{"no host", failure.InvalidURL, []string{
		"http:", "http:/", "http://", "http:///", "http://?", "http://#", "http:?x", "http:#", `http:\`, "https://?lure.test", "http:// ",
		"http://%20/", "http://\u00ad/", "http://./", "http://../",
	}},
	{"line ends and NUL", failure.InvalidRequest, []string{
		"http://lure.test:{l}/\r\nHost: evil.test", "http://lure.test:{l}/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /",
		"http://lure.test:{l}/\n", "\nhttp://lure.test:{l}/", "http://lure.test:{l}/\r", "http://lure.test\r\n.evil.test:{c}/",
		"http://evil.test:{c}/\x00.lure.test", "http://lure.test\x00.evil.test:{c}/", "\x00http://lure.test:{l}/",
		"http://lure.test:{l}/#\r\n", "http://lure.test:{l}/?\n", "ht\ntp://evil.test:{c}/", "http:\n//evil.test:{c}/",
		"http://evil.\ntest:{c}/",
	}},
	{"other control characters", failure.InvalidURL, []string{
		"http://lure.test:{l}/\t", "ht\ttp://evil.test:{c}/", "http://lure.test\t:{l}/", "http://lure.test:{l}/\x01",
		"\x1fhttp://lure.test:{l}/", "http://lure.test:{l}/\x7f", "http://lure.test:{l}/\u0085", "\x0bhttp://lure.test:{l}/",
		"http://lure.test:{l}/#\x08",
	}},
	{"too long", failure.InvalidURL, []string{
		"http://lure.test:{l}/" + strings.Repeat("a", 8<<10), "http://lure.test:{l}/?" + strings.Repeat("a", 8<<10),
		"http://lure.test:{l}/#" + strings.Repeat("a", 8<<10), "http://lure.test:{l}/" + strings.Repeat("é", 3<<10),
		"http://lure.test:{l}" + strings.Repeat("/a", 600), "http://lure.test:{l}/" + strings.Repeat("../", 600),
		`http://lure.test:{l}/` + strings.Repeat(`..\`, 600), strings.Repeat(" ", 8<<10) + "http://lure.test:{l}/",
		"http://evil.test:{c}/" + strings.Repeat("a", 64<<10), "http://" + strings.Repeat("a", 64<<10) + ".wild.test:{c}/",
		strings.Repeat("h", 9000) + "://lure.test/",
	}},
}

// honest are URLs that a rule allows in a spelling of their own, and what is sent for them.
var honest = [][2]string{
	{"http://lure.test:{l}/", "GET / lure.test:{l}"},
	{"HTTP://LURE.TEST:{l}", "GET / lure.test:{l}"},
	{" http://lure.test:{l}/x ", "GET /x lure.test:{l}"},
	{"http:lure.test:{l}/x", "GET /x lure.test:{l}"},
	{`http:\\lure.test:{l}\x`, "GET /x lure.test:{l}"},
	{"http:////lure.test:{l}//x", "GET //x lure.test:{l}"},
	{"http://lure.test:{l}#@evil.test:{c}/", "GET / lure.test:{l}"},
	{"http://lure.test:{l}?@evil.test:{c}/", "GET /?@evil.test:{c}/ lure.test:{l}"},
	{`http://lure.test:{l}\@evil.test:{c}/`, "GET /@evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}/@evil.test:{c}/", "GET /@evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}//evil.test:{c}/", "GET //evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}///evil.test:{c}/", "GET ///evil.test:{c}/ lure.test:{l}"},
	{`http://lure.test:{l}/\evil.test:{c}/`, "GET //evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}/http://evil.test:{c}/", "GET /http://evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}//u:p@evil.test:{c}/", "GET //u:p@evil.test:{c}/ lure.test:{l}"},
	{"http://lure.test:{l}/*", "GET /* lure.test:{l}"},
	{"http://lure.test:{l}/ HTTP/1.1", "GET /%20HTTP/1.1 lure.test:{l}"},
	{"http://lure.test:{l}/%0d%0aHost:%20evil.test", "GET /%0d%0aHost:%20evil.test lure.test:{l}"},
	{"http://lure.test:{l}//a%", "GET //a%25 lure.test:{l}"},
	{"http://lure.test:{l}/?a b\"'<>#c", "GET /?a%20b%22%27%3C%3E lure.test:{l}"},
	{"http://lure.test:{l}?", "GET /? lure.test:{l}"},
	{"http://lure.test:{l}/ſⅼé", "GET /%C5%BF%E2%85%BC%C3%A9 lure.test:{l}"},
	{"http://lure.test:0{l}/", "GET / lure.test:{l}"},
	{"http://exact.test:{l}/", "GET / exact.test:{l}"},
	{"http://exact.test:00{l}", "GET / exact.test:{l}"},
	{"http://a.wild.test:{l}/", "GET / a.wild.test:{l}"},
	{"http://xn--lure.wild.test:{l}/", "GET / xn--lure.wild.test:{l}"},
	{"http://10-0-0-1.wild.test:{l}/", "GET / 10-0-0-1.wild.test:{l}"},
	{"http://2fa-service:{l}/", "GET / 2fa-service:{l}"},
	{"http://10-0-0-1:{l}/", "GET / 10-0-0-1:{l}"},
	{"http://a.b.wild.test:{l}/", "GET / a.b.wild.test:{l}"},
	{"http://A%2eWILD.test:{l}/", "GET / a.wild.test:{l}"},
	{"http://ⓛⓤⓡⓔ.test:{l}/", "GET / lure.test:{l}"},
	{"http://ⅼure.test:{l}/", "GET / lure.test:{l}"},
	{"http://ｌｕｒｅ．ｔｅｓｔ:{l}/", "GET / lure.test:{l}"},
	{"http://lure。test:{l}/", "GET / lure.test:{l}"},
	{"http://lu\u00adre\u200b.te\u017ft:{l}/", "GET / lure.test:{l}"},
	{"http://%6c%75re.test:{l}/", "GET / lure.test:{l}"},
	{"http://straße.test:{l}/", "GET / xn--strae-oqa.test:{l}"},
	{"http://xn--strae-oqa.test:{l}/", "GET / xn--strae-oqa.test:{l}"},
}

func urlSieges() []siege {
	loopback := []string{"127.0.0.0/8", "::1/128"}
	s := siege{
		name:    "URLs",
		private: loopback,
		rules: `
    - {url: "http://lure.test:*", private: true}
    - {url: "http://*.wild.test:*", private: true}
    - {url: "http://exact.test:{l}", private: true}
    - {url: "http://straße.test:*", private: true}
    - {url: "https://secure.test", private: true}
    - {url: "http://plain.test", private: true}
    - {url: "http://2fa-service:*", private: true}
    - {url: "http://10-0-0-1:*", private: true}
`,
		names: map[string][]string{
			"2fa-service": {"127.0.0.1"}, "10-0-0-1": {"127.0.0.1"},
			"*.wild.test": {"127.0.0.1"}, "a.b.wild.test": {"127.0.0.1"}, "exact.test": {"127.0.0.1"}, "xn--strae-oqa.test": {"127.0.0.1"},
		},
	}
	for _, h := range honest {
		s.attacks = append(s.attacks, attack{name: "honest", url: h[0], sent: h[1]})
	}
	for _, class := range disguises {
		for _, url := range class.urls {
			s.attacks = append(s.attacks, attack{name: class.name, url: url, want: class.code})
		}
	}
	return []siege{s, deniedHosts(loopback), allowedHosts(loopback)}
}

// deniedHosts is what the operator denies though a rule allows it.
func deniedHosts(loopback []string) siege {
	s := siege{
		name:    "hosts.deny",
		private: loopback,
		denied:  []string{"denied.test", "*.denied.test", "straße.test", "127.0.0.2/32", "::1", "10.0.0.0/8"},
		rules: `
    - {url: "http://*:*", private: true}
    - {url: "https://*:*", private: true}
`,
		names: map[string][]string{
			"sly.test": {"127.0.0.2"}, "sly6.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.2"}, "nat64.test": {"64:ff9b::127.0.0.2"},
			"ten.test": {"10.1.1.1"}, "both.test": {"127.0.0.2,127.0.0.1"}, "xdenied.test": {"127.0.0.1"},
		},
		attacks: []attack{
			{name: "another", url: "http://lure.test:{l}/", sent: "GET / lure.test:{l}"},
			{name: "its address", url: "http://127.0.0.1:{l}/", sent: "GET / 127.0.0.1:{l}"},
			{name: "a name beside it", url: "http://xdenied.test:{l}/", sent: "GET / xdenied.test:{l}"},
			{name: "the denied address is passed over", url: "http://both.test:{l}/", sent: "GET / both.test:{l}"},
			{name: "redirect", location: "http://denied.test:{c}/", want: failure.HostDenied},
			{name: "redirect to the root's dot", location: "//DENIED.test.:{c}/", want: failure.HostDenied},
			{name: "redirect to the address", location: "//127.0.0.2:{c}/", want: failure.HostDenied},
			{name: "redirect to the address by name", location: "//sly.test:{c}/", want: failure.AddressDenied},
		},
	}
	for _, host := range []string{
		"denied.test", "DENIED.test", "denied.test.", "a.denied.test", "a.b.denied.test.", "%64enied.test", "denied%2etest", "denied。test",
		"ｄｅｎｉｅｄ.test", "ⓓenied.test", "den\u00adied.test", "denied.te\u017ft", "denied.test。", "straße.test", "xn--strae-oqa.test",
		"XN--STRAE-OQA.test.", "STRAßE.test", "127.0.0.2", "127.0.0.2.", "127.2", "0x7f000002", "2130706434", "0177.0.0.2", "１２７.0.0.②",
		"[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[::1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::127.0.0.2]", "[2002:7f00:2::]", "[::127.0.0.2]",
		"[2600::5efe:127.0.0.2]", "[2001:0:1:1::80ff:fffd]", "10.1.1.1", "0xa.1", "[64:ff9b::a01:101]",
	} {
		s.attacks = append(s.attacks, attack{name: "denied", url: "http://" + host + ":{c}/", want: failure.HostDenied})
	}
	for _, host := range []string{"sly.test", "sly6.test", "mapped.test", "nat64.test", "ten.test"} {
		s.attacks = append(s.attacks, attack{name: "by a name", url: "http://" + host + ":{c}/", want: failure.AddressDenied})
	}
	return s
}

// allowedHosts is what the operator doesn't allow though a rule does.
func allowedHosts(loopback []string) siege {
	s := siege{
		name:       "hosts.allow",
		private:    loopback,
		hostsAllow: []string{"lure.test", "*.wild.test", "127.0.0.1/32"},
		rules: `
    - {url: "http://*:*", private: true}
    - {url: "https://*:*", private: true}
`,
		names: map[string][]string{"*.wild.test": {"127.0.0.1"}},
		attacks: []attack{
			{name: "allowed", url: "http://lure.test:{l}/", sent: "GET / lure.test:{l}"},
			{name: "allowed by wildcard", url: "http://a.wild.test:{l}/", sent: "GET / a.wild.test:{l}"},
			{name: "allowed by address", url: "http://0x7f.1:{l}/", sent: "GET / 127.0.0.1:{l}"},
			{name: "redirect", location: "http://other.test:{c}/", want: failure.HostDenied},
		},
	}
	for _, host := range []string{
		"other.test", "lure.test.", "a.lure.test", "wild.test", "a.wild.test.", "xwild.test", "lure.test.evil.test", "127.0.0.2", "127.2",
		"[::1]", "[::ffff:127.0.0.2]", "localhost", "lurе.test", "0",
	} {
		s.attacks = append(s.attacks, attack{name: "not allowed", url: "http://" + host + ":{c}/", want: failure.HostDenied})
	}
	return s
}
