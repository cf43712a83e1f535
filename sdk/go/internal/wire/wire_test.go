package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sortie-run/sortie/sdk/go/internal/host"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is an Address that puts every body at the same place.
func at(body []byte) uint64 { return 0x10000 }

func TestVarint(t *testing.T) {
	t.Parallel()
	// RFC 9000, appendix A.1, and the edges of each length.
	for v, want := range map[uint64]string{
		151288809941952652: "c2197c5eff14e88c", 494878333: "9d7f3e7d", 15293: "7bbd", 37: "25",
		0: "00", 63: "3f", 64: "4040", 16383: "7fff", 16384: "80004000", 1<<30 - 1: "bfffffff", 1 << 30: "c000000040000000",
		1<<62 - 1: "ffffffffffffffff", math.MaxUint64: "ffffffffffffffff",
	} {
		got := AppendVarint(nil, v)
		if hex.EncodeToString(got) != want {
			t.Errorf("%d is %x, want %s", v, got, want)
		}
		r := reader{rest: string(got)}
		if back := r.varint(); back != min(v, maxVarint) || r.end() != nil {
			t.Errorf("%x is read as %d", got, back)
		}
	}
	r := reader{rest: "\x40\x25"} // a longer form than needed is accepted
	if v := r.varint(); v != 37 || r.end() != nil {
		t.Errorf("4025 is read as %d", v)
	}
}

func TestFetchBytes(t *testing.T) {
	t.Parallel()
	f := &host.Fetch{Method: "PUT", URL: "http://a/", Header: map[string][]string{"b": {"2", "3"}, "a": {"1"}}, Body: []byte("body"),
		Timeout: 1, AttemptTimeout: 2, Hedge: 3, Redirect: host.Refuse, Expect: "2xx",
		Retry: &host.Retry{Attempts: 3, Backoff: 4, MaxBackoff: 5, Statuses: []int{503}}}
	want := unhex(t, `03 505554  09 687474703a2f2f612f
		c00000000000000c  01 61 01 31  01 62 01 32  01 62 01 33
		01 02 03  02  03 327878
		01 03 04 05 01 41f7
		80010000 04`)
	if got := AppendFetch(nil, f, at); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	// All defaults, and what is below 0 is 0.
	want = unhex(t, `00 01 61  00  00 00 00  00  00  00  00 00`)
	if got := AppendFetch(nil, &host.Fetch{URL: "a", Timeout: -1}, nil); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestGroupBytes(t *testing.T) {
	t.Parallel()
	g := &host.Group{Mode: host.Quorum, Count: 2, Concurrency: 3, Timeout: time.Microsecond, Fetches: []*host.Fetch{{URL: "a"}, {URL: "b", Body: []byte("x")}}}
	want := unhex(t, `04 02 03 43e8 02
		c00000000000000c  00 01 61  00  00 00 00  00  00  00  00 00
		c00000000000000f  00 01 62  00  00 00 00  00  00  00  80010000 01`)
	got := AppendGroup([]byte("before"), g, at)
	if got, ok := bytes.CutPrefix(got, []byte("before")); !ok || !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestOpenBytes(t *testing.T) {
	t.Parallel()
	r := strings.NewReader("")
	for _, c := range []struct {
		f    *host.Fetch
		want string
	}{
		{&host.Fetch{URL: "a", Stream: true}, `01  00 01 61  00  00 00 00  00  00  00  00 00`},
		{&host.Fetch{URL: "a", Stream: true, Body: []byte("x")}, `01  00 01 61  00  00 00 00  00  00  00  80010000 01`},
		{&host.Fetch{URL: "a", BodyReader: r}, `02  00 01 61  00  00 00 00  00  00  00  00 00`},
		{&host.Fetch{URL: "a", Stream: true, BodyReader: r, BodyLength: 64}, `03  00 01 61  00  00 00 00  00  00  00  00 4040`},
		{&host.Fetch{URL: "a", BodyReader: r, BodyLength: -1}, `02  00 01 61  00  00 00 00  00  00  00  00 00`},
		{&host.Fetch{URL: "a"}, `00  00 01 61  00  00 00 00  00  00  00  00 00`},
	} {
		if got, want := AppendOpen(nil, c.f, at), unhex(t, c.want); !bytes.Equal(got, want) {
			t.Errorf("got  %x\nwant %x", got, want)
		}
	}
	g := &host.Group{Mode: host.Race, Fetches: []*host.Fetch{{URL: "a", Stream: true}, {URL: "b"}}}
	want := unhex(t, `03 00 00 00 02
		c00000000000000d  01 00 01 61  00  00 00 00  00  00  00  00 00
		c00000000000000d  00 00 01 62  00  00 00 00  00  00  00  00 00`)
	if got := AppendOpenGroup(nil, g, at); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestBeginBytes(t *testing.T) {
	t.Parallel()
	out := &host.Outbound{Status: 404, Header: map[string][]string{"a": {""}}, Body: []byte("no part of it")}
	want := unhex(t, `4194  c000000000000003 01 61 00`)
	if got := AppendBegin(nil, out); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestResponseBytes(t *testing.T) {
	t.Parallel()
	out := &host.Outbound{Status: 404, Header: map[string][]string{"a": {""}}, Body: []byte("abc")}
	want := unhex(t, `4194  c000000000000003 01 61 00  80010000 03`)
	if got := AppendResponse(nil, out, at); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

const requestHead = `04 504f5354  05 2f61253230  03 713d31  01 68  09 3132372e302e302e31
	0c  01 61 01 31  01 61 01 32  01 62 01 33  07  80000400`

func TestDecodeRequest(t *testing.T) {
	t.Parallel()
	in, body, left, err := DecodeRequest(unhex(t, requestHead))
	want := &host.Inbound{Method: "POST", Path: "/a%20", RawQuery: "q=1", Host: "h", RemoteAddr: "127.0.0.1",
		Header: map[string][]string{"a": {"1", "2"}, "b": {"3"}}}
	if err != nil || !reflect.DeepEqual(in, want) || body != 7 || left != 1024 {
		t.Errorf("got %+v, %d, %d, %v", in, body, left, err)
	}
}

const (
	fulfilledHead = `02  40c8  03 687421  01  02  03  04  01 61 01 31  0a`
	rejectedHead  = `03  07 74696d656f7574  01 6d  01 75  02  00  00`
	streamedHead  = `02  40c8  03 687421  01  02  03  04  01 61 01 31  ffffffffffffffff`
	failureText   = `0a 726561645f6572726f72  01 6d  01 75  02  01`
	statusHead    = `03  0b 687474705f737461747573  01 6d  01 75  01  01  01  4194  01 75  00  01  03  00  05`
)

func TestDecodeHead(t *testing.T) {
	t.Parallel()
	response := &host.Response{Status: 200, URL: "ht!", Redirected: true, Attempts: 2, Elapsed: 3, Header: map[string][]string{"a": {"1"}}}
	notFound := &host.Response{Status: 404, URL: "u", Attempts: 1, Elapsed: 3, Header: map[string][]string{}}
	for _, c := range []struct {
		bytes string
		want  host.Outcome
		body  uint64
	}{
		{"00", host.Outcome{}, 0},
		{"01", host.Outcome{State: host.Running}, 0},
		{fulfilledHead, host.Outcome{State: host.Fulfilled, Response: response}, 10},
		{streamedHead, host.Outcome{State: host.Fulfilled, Response: response}, Unknown},
		{rejectedHead, host.Outcome{State: host.Rejected, Failure: &host.Failure{Code: "timeout", Message: "m", URL: "u", Attempts: 2}}, 0},
		{statusHead, host.Outcome{State: host.Rejected, Failure: &host.Failure{Code: "http_status", Message: "m", URL: "u", Attempts: 1, Retryable: true, Response: notFound}}, 5},
	} {
		got, body, err := decodeHead(unhex(t, c.bytes))
		if err != nil || body != c.body || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %d, %v", c.bytes, got, body, err)
		}
	}
}

func TestDecodeFailure(t *testing.T) {
	t.Parallel()
	got, err := DecodeFailure(unhex(t, failureText))
	want := &host.Failure{Code: "read_error", Message: "m", URL: "u", Attempts: 2, Retryable: true}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Whatever is cut off or left over is malformed.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{fulfilledHead, rejectedHead, statusHead} {
		whole := unhex(t, text)
		for n := range whole {
			if _, _, err := decodeHead(whole[:n]); err == nil {
				t.Errorf("%d bytes of %x are taken for a head", n, whole)
			}
		}
		if _, _, err := decodeHead(append(whole, 0)); err == nil {
			t.Errorf("%x and a byte more is taken for a head", whole)
		}
	}
	whole := unhex(t, failureText)
	for n := range whole {
		if _, err := DecodeFailure(whole[:n]); err == nil {
			t.Errorf("%d bytes of %x are taken for a failure", n, whole)
		}
	}
	if _, err := DecodeFailure(append(whole, 0)); err == nil {
		t.Errorf("%x and a byte more is taken for a failure", whole)
	}
	whole = unhex(t, requestHead)
	for n := range whole {
		if _, _, _, err := DecodeRequest(whole[:n]); err == nil {
			t.Errorf("%d bytes of %x are taken for a request", n, whole)
		}
	}
	for name, text := range map[string]string{
		"state": "05", "bool": "03 00 00 00 00 02 00", "status": "02 c0000000ffffffff 00 00 00 00 00 00",
		"fields that end within a line": "02 00 00 00 00 00 02 01 61 00",
	} {
		if _, _, err := decodeHead(unhex(t, text)); err == nil {
			t.Errorf("%s: %s is taken for a head", name, text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{requestHead, fulfilledHead, rejectedHead, streamedHead, statusHead, failureText, "", "ff"} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, _, err := decodeHead(b)
		if err == nil && (o.State == host.Fulfilled) != (o.Response != nil) {
			t.Errorf("%x: state %d with response %v", b, o.State, o.Response)
		}
		if failure, err := DecodeFailure(b); (err == nil) != (failure != nil) {
			t.Errorf("%x: %v, %v", b, failure, err)
		}
		in, _, left, err := DecodeRequest(b)
		if err == nil && (in == nil || left < 0) {
			t.Errorf("%x: %v, %d", b, in, left)
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add("content-type", "text/plain", "accept", "*/*")
	f.Fuzz(func(t *testing.T, name, value, name2, value2 string) {
		header := map[string][]string{name: {value, value2}, name2: {value2}}
		r := reader{rest: string(appendFields(nil, header))}
		if got := r.fields(); r.end() != nil || !reflect.DeepEqual(got, header) {
			t.Errorf("%q is read as %q", header, got)
		}
	})
}

func BenchmarkAppendFetch(b *testing.B) {
	f := &host.Fetch{Method: "GET", URL: "https://api.example.com/a?b=c", Header: map[string][]string{"accept": {"application/json"}}}
	buf := AppendFetch(nil, f, nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFetch(buf[:0], f, nil)
	}
}

// decodeHead decodes one head, as the only record of those that cross together.
func decodeHead(b []byte) (o host.Outcome, body uint64, err error) {
	record := append(appendString([]byte{0}, string(b)), 0)
	_, err = DecodeOutcomes(record, func(_ int, got Outcome) { o, body = got.Outcome, got.Length })
	return o, body, err
}

func TestDecodeOutcomes(t *testing.T) {
	t.Parallel()
	head := unhex(t, "02 40c8 01 75 00 01 03 00 02")
	var b []byte
	for _, i := range []byte{7, 3} {
		b = appendString(append(b, i), string(head))
		b = appendString(b, string([]byte{i, 'x'}))
	}
	b = append(appendString(append(b, 1), string(unhex(t, "04 01 63 00 00 00 00 00"))), 0)
	var got []string
	n, err := DecodeOutcomes(b, func(i int, o Outcome) {
		body := []byte(nil)
		if o.Response != nil {
			body = append(o.Response.Body, "grown"...) // which must not reach into the next record
		}
		got = append(got, fmt.Sprint(i, " ", o.State, " ", o.Length, " ", string(body)))
	})
	want := []string{"7 2 2 \x07xgrown", "3 2 2 \x03xgrown", "1 4 0 "}
	if err != nil || n != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d, %v, %q; want %q", n, err, got, want)
	}
	for cut := range len(b) - 1 {
		if n, err := DecodeOutcomes(b[:cut+1], func(int, Outcome) {}); err == nil && n == 3 {
			t.Errorf("%d bytes are taken for all", cut+1)
		}
	}
	// A body where there is no response.
	if _, err := DecodeOutcomes(append(appendString([]byte{0}, string(unhex(t, "04 01 63 00 00 00 00 00"))), 1, 'x'), func(int, Outcome) {}); err == nil {
		t.Error("a body without a response is taken")
	}
}
