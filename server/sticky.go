package server

import (
	"hash/fnv"
	"io"
	"net/http"
	"strings"

	"github.com/sortie-run/sortie/host/manifest"
)

// stickyKey is what keeps the request's caller with one version; "" if nothing does, or there is only one. p may be nil.
func (p *plugin) stickyKey(r *http.Request) string {
	if p == nil || len(p.stored.Traffic) < 2 {
		return ""
	}
	switch by := p.sticky(); {
	case by.Header != "":
		return strings.Join(r.Header[by.Header], ",")
	case by.Cookie != "":
		if cookie, err := r.Cookie(by.Cookie); err == nil {
			return cookie.Value
		}
	}
	return ""
}

// sticky is what the manifest of the newest version with traffic says: versions that disagree would each send callers elsewhere.
func (p *plugin) sticky() manifest.Sticky {
	newest := p.stored.Traffic[len(p.stored.Traffic)-1].Version // they ascend
	if v := p.versions[newest]; v != nil {
		if t, err := v.terms(); err == nil {
			return t.manifest.Sticky
		}
	}
	return manifest.Sticky{}
}

// place puts a key into one of n places, always the same for a plugin: also after a restart, and on another machine. Where a share grows by
// a few percent, only so many callers move.
func place(plugin, key string, n int) int {
	h := fnv.New64a()
	_, _ = io.WriteString(h, plugin)
	_, _ = h.Write([]byte{0})
	_, _ = io.WriteString(h, key)
	x := h.Sum64() // whose last bytes barely mix; the finalizer of splitmix64 does
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(n))
}
