package host_test

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sortie-run/sortie/host"
)

func TestS3Client(t *testing.T) {
	t.Parallel()
	store := &bucket{t: t, objects: map[string][]byte{}, parts: map[string][]byte{}, begun: make(chan struct{}, 1)}
	srv := httptest.NewServer(store)
	defer srv.Close()
	p := loadClient(t, "s3", fmt.Sprintf("{endpoint: '%s'}", strings.TrimPrefix(srv.URL, "http://")))

	// The first half has to be at its goal before the second is sent.
	half := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
	in, out := io.Pipe()
	go func() {
		_, _ = out.Write(half)
		<-store.begun
		_, _ = out.Write(half)
		out.Close()
	}()
	length := http.Header{"Content-Length": {strconv.Itoa(2 * len(half))}}
	resp, report := ask(t, p, &host.Request{Method: "PUT", Path: "/b", Header: length, BodyReader: in, BodyLength: int64(2 * len(half))})
	if whole := append(half[:len(half):len(half)], half...); resp.Status != 201 || !bytes.Equal(store.object("b"), whole) || len(report.Fetches) != 1 {
		t.Errorf("got %d %s: %d bytes are stored, in %d fetches", resp.Status, resp.Body, len(store.object("b")), len(report.Fetches))
	}

	// Of a body without a length each 5 MiB make a part: beginning, two parts, end.
	large := bytes.Repeat(half, 11)
	resp, report = ask(t, p, &host.Request{Method: "PUT", Path: "/c", BodyReader: io.NopCloser(bytes.NewReader(large)), BodyLength: -1})
	if resp.Status != 201 || !bytes.Equal(store.object("c"), large) || len(report.Fetches) != 4 {
		t.Errorf("got %d %s: %d bytes are stored, in %d fetches", resp.Status, resp.Body, len(store.object("c")), len(report.Fetches))
	}

	store.put("a", []byte("0123456789"))
	for _, c := range []struct {
		path, bytes string
		status      int
		want        string
	}{
		{"/a", "", 200, "0123456789"},
		{"/a", "bytes=3-5", 206, "345"},
		{"/d", "", 404, "NoSuchKey: The specified key does not exist.\n"},
		{"/", "", 200, `["a","b","c"]` + "\n"},
	} {
		req := &host.Request{Method: "GET", Path: c.path, Header: http.Header{}}
		if c.bytes != "" {
			req.Header.Set("Range", c.bytes)
		}
		if resp, _ := ask(t, p, req); resp.Status != c.status || string(resp.Body) != c.want {
			t.Errorf("%s %s: %d %q, want %d %q", c.path, c.bytes, resp.Status, resp.Body, c.status, c.want)
		}
	}
}

// bucket stands in for an S3 bucket by the name of shelf. It refuses what isn't signed.
type bucket struct {
	t     *testing.T
	begun chan struct{} // receives when an upload's first bytes are here

	mu             sync.Mutex
	objects, parts map[string][]byte
}

func (b *bucket) object(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects[key]
}

func (b *bucket) put(key string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = body
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := signed(r); err != nil {
		b.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		w.WriteHeader(403)
		return
	}
	var body []byte
	if r.Method == "PUT" {
		body = b.upload(r)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q := r.URL.Query()
	key := strings.TrimPrefix(r.URL.Path, "/shelf/")
	switch {
	case key == "":
		b.list(w, q)
	case q.Has("uploads"):
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>shelf</Bucket><Key>%s</Key><UploadId>1</UploadId></InitiateMultipartUploadResult>", key)
	case q.Has("partNumber"):
		b.parts[q.Get("partNumber")] = body
	case r.Method == "POST":
		for _, n := range slices.Sorted(maps.Keys(b.parts)) {
			b.objects[key] = append(b.objects[key], b.parts[n]...)
		}
		fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>shelf</Bucket><Key>%s</Key><ETag>\"1-%d\"</ETag></CompleteMultipartUploadResult>", key, len(b.parts))
	case r.Method == "PUT":
		b.objects[key] = body
	case b.objects[key] == nil:
		w.WriteHeader(404)
		fmt.Fprintf(w, "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>%s</Key></Error>", key)
	default:
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(b.objects[key]))
	}
}

// list answers with two keys a page.
func (b *bucket) list(w http.ResponseWriter, q url.Values) {
	keys := slices.Sorted(maps.Keys(b.objects))
	from := atoi(q.Get("continuation-token"))
	to := min(from+2, len(keys))
	fmt.Fprintf(w, "<ListBucketResult><Name>shelf</Name><IsTruncated>%v</IsTruncated><NextContinuationToken>%d</NextContinuationToken>", to < len(keys), to)
	for _, key := range keys[from:to] {
		fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>", key, len(b.objects[key]))
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// upload reads a body, which the client signs piece by piece: "size;chunk-signature=…", the bytes, and so on to an empty one.
func (b *bucket) upload(r *http.Request) (body []byte) {
	from := bufio.NewReader(r.Body)
	if r.Header.Get("X-Amz-Content-Sha256") != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" {
		b.t.Errorf("the payload is %s", r.Header.Get("X-Amz-Content-Sha256"))
	}
	for {
		head, err := from.ReadString('\n')
		size, _, _ := strings.Cut(head, ";")
		n, bad := strconv.ParseInt(size, 16, 32)
		piece := make([]byte, n+2)
		if err == nil {
			_, err = io.ReadFull(from, piece)
		}
		if err != nil || bad != nil {
			b.t.Errorf("after %d bytes: %q, %v", len(body), head, err)
			return body
		}
		select {
		case b.begun <- struct{}{}:
		default:
		}
		if body = append(body, piece[:n]...); n == 0 {
			break
		}
	}
	if told := atoi(r.Header.Get("X-Amz-Decoded-Content-Length")); told != len(body) || r.ContentLength < int64(told) {
		b.t.Errorf("of %d bytes %d have come; the length is %d", told, len(body), r.ContentLength)
	}
	return body
}

// signed checks a request's signature (AWS Signature Version 4): so the host has changed nothing of what was signed.
func signed(r *http.Request) error {
	auth := r.Header.Get("Authorization")
	part := func(name string) string {
		_, rest, _ := strings.Cut(auth, name+"=")
		value, _, _ := strings.Cut(rest, ",")
		return value
	}
	scope := strings.TrimPrefix(part("Credential"), "access/") // date/region/service/aws4_request
	request := r.Method + "\n" + r.URL.EscapedPath() + "\n" + strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") + "\n"
	for name := range strings.SplitSeq(part("SignedHeaders"), ";") {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		request += name + ":" + strings.TrimSpace(value) + "\n"
	}
	request += "\n" + part("SignedHeaders") + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	sum := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	key := []byte("AWS4secret")
	for step := range strings.SplitSeq(scope, "/") {
		key = sum(key, step)
	}
	hash := sha256.Sum256([]byte(request))
	want := hex.EncodeToString(sum(key, "AWS4-HMAC-SHA256\n"+r.Header.Get("X-Amz-Date")+"\n"+scope+"\n"+hex.EncodeToString(hash[:])))
	if got := part("Signature"); got != want {
		return fmt.Errorf("the signature is %q, want %s, for:\n%s", auth, want, request)
	}
	return nil
}
