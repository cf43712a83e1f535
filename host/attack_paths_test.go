package host_test

import (
	"strings"

	"github.com/sortie-run/sortie/host/fetch/failure"
)

// Paths that are to look as if they were below a rule's, or become so, or cease to be, once a server decodes them.

// outside are paths, and what follows them, that no rule covers.
var outside = []struct {
	name  string
	paths []string
}{
	{"elsewhere", []string{
		"", "/", "/private", "/private/", "/v2", "/x/public/", "/x/v1", "/PUBLIC/x", "/Public/", "/V1", "/publi", "/publi/c/",
	}},
	{"beside the prefix", []string{
		"/public", "/publicx", "/publicity/x", "/public-/x", "/public.", "/public.json", "/v1x", "/v1.0", "/v1-x/", "/v10", "/v1;x",
		"/v1;/x", "/v1:x", "/v1@x", "/v1~", "/v1%20", "/v1 x", "/v1é", "/v1%00",
	}},
	{"a query or fragment of that name", []string{
		"?/public/", "?/v1", "/?/public/x", "/private?/public/", "/private?x=/v1/", "/private#/public/", "#/v1", "/#/public/x",
		"/private?/../public/", "/public?/", "/public#/",
	}},
	{"dot segments", []string{
		"/public/..", "/public/../", "/public/../private", "/public/./../private", "/public/x/../../private",
		"/public/../public/../private", "/v1/..", "/v1/../private", "/v1/../v1x", "/v1/x/../..", "/v1/../../private", "/public/../v1/../x",
		"/public/..//private", "/v1/..//v2",
	}},
	{"encoded dot segments", []string{
		"/public/%2e%2e/private", "/public/%2E%2E/private", "/public/.%2e/private", "/public/%2e./private", "/public/%2E./private",
		"/public/x/%2e%2e/%2e%2e/private", "/public/%2e/%2e%2e/private", "/v1/%2e%2e", "/v1/%2e%2e/", "/v1/x/%2e%2e/.%2E/v2",
		"/public/%2e%2e?x", "/public/%2e%2e#x",
	}},
	{"backslashes", []string{
		`/public\..\private`, `/public/..\private`, `\public\..\private`, `/public\..`, `/v1\..\private`, `/v1\..`, `\private`,
		`/public/x\..\..\private`, `/public\%2e%2e\private`, `/public/\../../private`,
	}},
	{"encoded slashes", []string{
		"/public%2f", "/public%2Fx", "/public%2f..%2fprivate", "/public/..%2fprivate", "/public/..%2Fprivate", "/public/x%2fy",
		"/public/%2f", "/public/%2F..", "/v1%2fx", "/v1/..%2f..%2fprivate", "/v1/a%2fb", "/%2fpublic/x", "/%2f%2fpublic", "/public/a%2Fb/c",
		"/private%2f..%2fpublic/x",
	}},
	{"encoded backslashes", []string{
		"/public%5c", "/public/..%5cprivate", "/public/..%5Cprivate", "/public/%5c..%5cprivate", "/public/x%5cy", "/v1%5c..", "/v1/a%5Cb",
		"/%5cpublic/x", "/%5Cv1/x",
	}},
	{"encoded dots", []string{
		"/public/a%2eb", "/public/a%2Ejson", "/public/..%2e", "/public/..%2e/x", "/public/%2e%2e%2e/x", "/public/%2ehidden", "/v1/x%2e",
		"/v1%2e", "/public/%2e%2fx", "/public/.%2e%2fprivate", "/public/%2e%2e%2fprivate", "/public/%2e%2e%5cprivate",
		"/public/%2e%2e;/private", "/public/x%2e%2e", "/public/.%2e.",
	}},
	{"parameters on dot segments", []string{
		"/public/..;/private", "/public/..;", "/public/.;/..;/private", "/public/..;x=y/private", "/public/..;a;b=c/../..;/private",
		"/public/x/..;/..;/private", "/v1/..;/x", "/v1/..;/..;/private", "/v1/.;/x", "/v1/..%3b/private", "/v1/..%3Bx/private",
		"/v1/..%253b/x", `/public\..;\private`, "/public/..;#/x", "/public/..;?x", "/public/%2e%2e;/private", "/public/.%2e;x/private",
	}},
	{"encoded twice", []string{
		"/public/%252e%252e/private", "/public/%252E%252E%252Fprivate", "/public/..%252fprivate", "/public/..%255cprivate",
		"/public/%25%32%65%25%32%65/private", "/public/%252%65%252%65/private", "/public/%%32%65%%32%65/private", "/public/%%32e%%32e/x",
		"/public/%25252e%25252e/private", "/v1/%25252525252e%25252525252e/x", "/v1/a%252eb", "/v1/..%25252fprivate", "/v1/..%%35cx",
	}},
	{"NUL", []string{
		"/public/%00", "/public/x%00", "/public/..%00/private", "/v1/%00/..;/x", "/v1/x%00.json", "/v1/%2500", "/v1/..%2500/private",
	}},
	{"no UTF-8", []string{
		"/public/%c0%ae%c0%ae/private", "/public/..%c0%afprivate", "/public/%C0%AE%C0%AE%C0%AFprivate", "/public/..%c1%9cprivate",
		"/public/..%e0%80%afprivate", "/public/..%f0%80%80%afprivate", "/public/..%f8%80%80%80%afprivate",
		"/public/..%fc%80%80%80%80%afprivate", "/v1/%c0.%c0./x", "/v1/..%c0/x", "/v1/%e9", "/v1/%ed%a0%80", "/v1/%ff", "/v1/é%c3",
		"/v1/%c0%2e/x",
	}},
	{"escapes of no standard", []string{
		"/public/%u002e%u002e/private", "/public/..%u002fprivate", "/public/..%U005Cprivate", "/public/..%u2215private", "/v1/%uff0e%uff0e/x",
		"/v1/%25u002e%25u002e/x",
	}},
	{"an encoded prefix", []string{
		"/%70ublic/x", "/publi%63/x", "/%50ublic/x", "/%76%31/x", "/v%31", "/%761", "/%2570ublic/x", "/ｐublic/x", "/public%e2%88%95x",
		"/v1％2fx", "/public／x", "/v1∕x", "/v１/x",
	}},
	{"empty segments before", []string{
		"//public/x", "///public/x", "//v1", "/.//v1", `/\v1`, `\\v1`, "//private", "//x/public/", "/x/.//../..//v1", "/x/..//v1",
	}},
	{"long ways", []string{
		"/public/" + strings.Repeat("x/../", 90) + "../private", "/public/" + strings.Repeat("../", 200) + "private",
		"/v1" + strings.Repeat("/%2e%2e", 100) + "/private", "/private" + strings.Repeat("/public/", 100),
	}},
}

// inside are paths that a rule covers, and how they are sent.
var inside = [][2]string{
	{"/public/", "/public/"},
	{"/public/x", "/public/x"},
	{"/public/x/../y", "/public/y"},
	{"/public/./", "/public/"},
	{"/public/100%25", "/public/100%25"},
	{"/public/%2525", "/public/%2525"},
	{"/public/100%25ba", "/public/100%25ba"}, // what is encoded twice may be bytes of any kind
	{"/public/a;v=1/b;../...;/;", "/public/a;v=1/b;../...;/;"},
	{"/public//x", "/public//x"},
	{"/public//../x", "/public/x"},
	{"/public/a b", "/public/a%20b"},
	{"/public/%61", "/public/%61"},
	{"/private/../public/x", "/public/x"},
	{"/private/%2e%2e/public/x", "/public/x"},
	{`/private\..\public\x`, "/public/x"},
	{"/../../public/x", "/public/x"},
	{"/public/?/../../private", "/public/?/../../private"},
	{"/public/?a%2fb%2e%5c", "/public/?a%2fb%2e%5c"},
	{"/public/x#/../..", "/public/x"},
	{"/v1", "/v1"},
	{"/v1/", "/v1/"},
	{"/v1?x", "/v1?x"},
	{"/v1/x", "/v1/x"},
	{"/v1/x/..", "/v1/"},
	{"/v1/.hidden", "/v1/.hidden"},
	{"/v1/...", "/v1/..."},
	{"/v1//", "/v1//"},
	{"/v1/é", "/v1/%C3%A9"},
	{"/v1/%c3%a9%E2%82%ac", "/v1/%c3%a9%E2%82%ac"},
	{"/v1/%0d%0a%09%7f", "/v1/%0d%0a%09%7f"},
	{"/v1/?x=..;/%00%c0%af%252e%u002e", "/v1/?x=..;/%00%c0%af%252e%u002e"},
	{"/v1/a|b", "/v1/a|b"},
	{"/v1/a^b", "/v1/a%5Eb"},
	{"/deep/er/x", "/deep/er/x"},
}

func pathSieges() []siege {
	s := siege{
		name:    "paths",
		private: []string{"127.0.0.0/8"},
		rules: `
    - {url: "http://api.test:*/public/", private: true}
    - {url: "http://api.test:*/v1", private: true}
    - {url: "http://api.test:*/deep/er", methods: [GET], private: true}
    - {url: "http://whole.test:*", private: true}
`,
		names: map[string][]string{"api.test": {"127.0.0.1"}, "whole.test": {"127.0.0.1"}},
		attacks: []attack{
			{name: "another method", method: "POST", url: "http://api.test:{c}/deep/er", want: failure.MethodDenied},
			{name: "another method by a way around", method: "POST", url: "http://api.test:{c}/v1/../deep/er/x", want: failure.MethodDenied},
			{name: "redirect out of the prefix", url: "http://api.test:{l}/public", location: "http://api.test:{c}/private", want: failure.HostDenied},
			{name: "redirect out of the prefix, relative", url: "http://api.test:{l}/public", location: "../../../../private", want: failure.HostDenied},
			{name: "redirect out of the prefix, encoded", url: "http://api.test:{l}/public", location: "%2e%2e/%2e%2e/%2e%2e/%2e%2e/private", want: failure.HostDenied},
			{name: "redirect out of the prefix by a backslash", url: "http://api.test:{l}/public", location: `..\..\..\..\private`, want: failure.HostDenied},
			{name: "redirect to an encoded slash", url: "http://api.test:{l}/public", location: "/public/x%2fy", want: failure.HostDenied},
			{name: "redirect to a dot segment with parameters", url: "http://api.test:{l}/public", location: "/public/..;/private", want: failure.HostDenied},
			{name: "redirect to what is encoded twice", url: "http://api.test:{l}/public", location: "/public/%252e%252e/private", want: failure.HostDenied},
			{name: "redirect to what is no UTF-8", url: "http://api.test:{l}/public", location: "/public/..%c0%afprivate", want: failure.HostDenied},
			{name: "redirect to a NUL", url: "http://api.test:{l}/public", location: "/public/x%00", want: failure.HostDenied},
			{name: "a whole origin has nothing to escape from", url: "http://whole.test:{l}/..;/%252e%00%c0%af%2f", sent: "GET /..;/%252e%00%c0%af%2f whole.test:{l}"},
			{name: "redirect within the prefix", url: "http://api.test:{l}/public", location: "/v1/../public/y", sent: "GET /public/y api.test:{l}"},
		},
	}
	for _, class := range outside {
		for _, path := range class.paths {
			s.attacks = append(s.attacks, attack{name: class.name, url: "http://api.test:{c}" + path, want: failure.HostDenied})
		}
	}
	for _, p := range inside {
		s.attacks = append(s.attacks, attack{name: "inside", url: "http://api.test:{l}" + p[0], sent: "GET " + p[1] + " api.test:{l}"})
	}
	return []siege{s}
}
