package cache

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/cachecontrol/cacheobject"
)

func none() directives {
	return directives{maxAge: -1, minFresh: -1, maxStale: -1, whileRevalidate: -1, ifError: -1}
}

func TestDirectives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want func(d *directives)
	}{
		{"", func(*directives) {}},
		{" , ;\t", func(*directives) {}},
		{"max-age=0", func(d *directives) { d.maxAge = 0 }},
		{"max-age=007", func(d *directives) { d.maxAge = 7 }},
		{`max-age="7"`, func(d *directives) { d.maxAge = 7 }},
		{"max-age=2147483647", func(d *directives) { d.maxAge = math.MaxInt32 }},
		{"max-age=2147483648", func(d *directives) { d.maxAge = math.MaxInt32 }},
		{"max-age=" + strings.Repeat("9", 1000), func(d *directives) { d.maxAge = math.MaxInt32 }},
		{"max-age=+7", func(d *directives) { d.maxAge = 0 }},
		{"max-age=", func(d *directives) { d.maxAge = 0 }},
		{"max-age=0x7", func(d *directives) { d.maxAge = 0 }},
		{"max-age=7max-age=9", func(d *directives) { d.maxAge = 0 }},
		{"max-age=\x00", func(d *directives) { d.maxAge = 0 }},
		{"max-stale", func(d *directives) { d.maxStale = math.MaxInt32 }},
		{"max-stale=", func(d *directives) { d.maxStale = 0 }},
		{"min-fresh=5, min-fresh=3", func(d *directives) { d.minFresh = 5 }},
		{"No-Store,NO-CACHE,Must-Revalidate,must-understand,only-if-cached", func(d *directives) {
			d.noStore, d.noCache, d.mustRevalidate, d.mustUnderstand, d.onlyIfCached = true, true, true, true, true
		}},
		{`no-cache="a,b"no-store`, func(d *directives) { d.noCache, d.noStore = true, true }},
		{`x="a\"b, no-store", max-age=7`, func(d *directives) { d.maxAge = 7 }},
		{`x="\`, func(*directives) {}},
		{`"no-store"`, func(*directives) {}},
		{"no-stores, ano-store, no_store", func(*directives) {}},
		{"stale-while-revalidate=5, stale-if-error=6", func(d *directives) { d.whileRevalidate, d.ifError = 5, 6 }},
	} {
		want := none()
		c.want(&want)
		if got := readDirectives([]string{c.text}); got != want {
			t.Errorf("%q: %+v", c.text, got)
		}
	}
}

// TestDirectivesAgree compares with another reader where there is no doubt what is meant.
func TestDirectivesAgree(t *testing.T) {
	t.Parallel()
	parts := []string{
		"no-store", "no-cache", `no-cache="x-a, x-b"`, "must-revalidate", "private", `private="x-a"`, "public", "max-age=0", "max-age=60", "max-age=99999999999",
		"stale-while-revalidate=30", "stale-if-error=40", "immutable", `community="UCI, no-store"`, "s-maxage=5", "",
	}
	for _, a := range parts {
		for _, b := range parts {
			for _, comma := range []string{",", ", ", " , "} {
				if name := strings.Split(a, "=")[0]; name == strings.Split(b, "=")[0] {
					continue // of two the other reader takes the last
				}
				text := a + comma + b
				theirs, err := cacheobject.ParseResponseCacheControl(text)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				want := none()
				want.noStore, want.noCache, want.mustRevalidate = theirs.NoStore, theirs.NoCachePresent, theirs.MustRevalidate
				want.maxAge, want.whileRevalidate, want.ifError = int32(theirs.MaxAge), int32(theirs.StaleWhileRevalidate), int32(theirs.StaleIfError)
				if diff := cmp.Diff(want, readDirectives([]string{text}), cmp.AllowUnexported(directives{})); diff != "" {
					t.Errorf("%q: %s", text, diff)
				}
			}
		}
	}
}
