package field

import "testing"

func TestField(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"": false, "a": true, "X-A_1!": true, "a b": false, "a:": false, "ä": false, "a\n": false, "[": false, "`": true, "@": false} {
		if ValidName(s) != want {
			t.Errorf("ValidName(%q) = %v", s, !want)
		}
	}
	for s, want := range map[string]bool{"": true, "a b\tc": true, "ä": true, "a\r": false, "a\n": false, "\x00": false, "\x7f": false} {
		if ValidValue(s) != want {
			t.Errorf("ValidValue(%q) = %v", s, !want)
		}
	}
	for s, want := range map[string]bool{"Host": true, "content-length": true, "Sortie-Version": true, "Proxy-Authorization": true, "accept": false, "hosts": false} {
		if Owned(s) != want {
			t.Errorf("Owned(%q) = %v", s, !want)
		}
	}
}
