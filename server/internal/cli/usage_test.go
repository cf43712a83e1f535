package cli

import "testing"

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"serve", "serve", 0}, {"srve", "serve", 1}, {"sevre", "serve", 1}, {"serve", "server", 1},
		{"deploy", "remove", 5}, {"ab", "ba", 1}, {"list", "lits", 1},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := distance(test.b, test.a); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}

func TestTrafficText(t *testing.T) {
	t.Parallel()
	for want, traffic := range map[string][]weight{
		"none": nil, "v3 100%": {{3, 100}}, "v3 90% v4 10%": {{3, 90}, {4, 10}},
	} {
		if got := trafficText(traffic); got != want {
			t.Errorf("trafficText(%v) = %q, want %q", traffic, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	commands := []string{"serve", "new", "build", "dev", "run", "deploy", "list", "remove", "explain", "version", "versions", "logs", "trace"}
	for typed, want := range map[string]string{
		"srve": "serve", "biuld": "build", "delpoy": "deploy", "vrsion": "version", "versionss": "versions", "ls": "", "xyzzy": "", "rm": "",
		"remov": "remove", "nwe": "new", "": "", "dve": "dev", "log": "logs", "token": "", "trac": "trace", "rollback": "", "traffic": "", "depoly": "deploy",
	} {
		if got := nearest(typed, commands); got != want {
			t.Errorf("nearest(%q) = %q, want %q", typed, got, want)
		}
	}
}
