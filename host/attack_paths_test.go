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
	{"/public/%252e%252e/x", "/public/%252e%252e/x"}, // decoding isn't repeated
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
`,
		names: map[string][]string{"api.test": {"127.0.0.1"}},
		attacks: []attack{
			{name: "another method", method: "POST", url: "http://api.test:{c}/deep/er", want: failure.MethodDenied},
			{name: "another method by a way around", method: "POST", url: "http://api.test:{c}/v1/../deep/er/x", want: failure.MethodDenied},
			{name: "redirect out of the prefix", url: "http://api.test:{l}/public", location: "http://api.test:{c}/private", want: failure.HostDenied},
			{name: "redirect out of the prefix, relative", url: "http://api.test:{l}/public", location: "../../../../private", want: failure.HostDenied},
			{name: "redirect out of the prefix, encoded", url: "http://api.test:{l}/public", location: "%2e%2e/%2e%2e/%2e%2e/%2e%2e/private", want: failure.HostDenied},
			{name: "redirect out of the prefix by a backslash", url: "http://api.test:{l}/public", location: `..\..\..\..\private`, want: failure.HostDenied},
			{name: "redirect to an encoded slash", url: "http://api.test:{l}/public", location: "/public/x%2fy", want: failure.HostDenied},
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
