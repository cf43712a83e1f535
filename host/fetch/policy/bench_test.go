package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func BenchmarkParseURL(b *testing.B) {
	for name, raw := range map[string]string{
		"short":  "https://api.example.com/v1/prices?currency=eur",
		"ipv4":   "http://127.0.0.1:9000/",
		"idna":   "https://münchen.example/straße",
		"1KiB":   "https://api.example.com/v1/?q=" + strings.Repeat("a", 1000),
		"worst":  "https://x/" + strings.Repeat(strings.Repeat("a", 14)+"/", maxSegments-8),
		"denied": "https://user@" + strings.Repeat("@", MaxURL-32) + "x/",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = ParseURL(raw)
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	var urls []string
	for i := range 50 {
		urls = append(urls, fmt.Sprintf("https://*.host%d.example/v1/", i))
	}
	p := mustNew(b, Config{Rules: rules(urls...), HostsDeny: []string{"evil.example", "10.0.0.0/8"}, HostsAllow: []string{"*"}})
	for name, raw := range map[string]string{
		"first": "https://a.host0.example/v1/x", "last": "https://a.host49.example/v1/x", "none": "https://a.other.example/v1/x",
	} {
		u := mustParse(b, raw)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Decide("GET", u)
			}
		})
	}
}

func BenchmarkAddressAllowed(b *testing.B) {
	p := mustNew(b, Config{Rules: rules("https://*")})
	u := mustParse(b, "https://x/")
	d := p.Decide("GET", u)
	for _, text := range []string{"8.8.8.8", "2606:4700::1111"} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(text), 443)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = p.AddressAllowed(d, u, addr)
			}
		})
	}
}
