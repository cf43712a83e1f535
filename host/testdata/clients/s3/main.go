// Command s3 is a plugin around github.com/minio/minio-go, which knows nothing of Sortie: signed requests, uploads that stream, in one
// piece or in parts, XML. The tests of package host run it.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
)

func main() {}

const bucket = "shelf"

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /{key}", with(put))
	mux.HandleFunc("GET /{key}", with(get))
	mux.HandleFunc("GET /{$}", with(list))
	sortiehttp.Serve(mux)
}

// with gives a handler its client, and answers with the error that it returns.
func with(handler func(http.ResponseWriter, *http.Request, *minio.Client) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		endpoint, _ := sortie.Config("endpoint")
		c, err := minio.New(endpoint, &minio.Options{
			Creds: credentials.NewStaticV4("access", "secret", ""), Region: "eu-central-1", Transport: new(sortiehttp.Transport), MaxRetries: 1,
		})
		if err == nil {
			err = handler(w, r, c)
		}
		if known := new(minio.ErrorResponse); errors.As(err, known) {
			http.Error(w, known.Code+": "+known.Message, known.StatusCode)
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// put passes the request's body on as it comes. One whose length the client didn't tell goes up in parts.
func put(w http.ResponseWriter, r *http.Request, c *minio.Client) error {
	opts := minio.PutObjectOptions{ContentType: r.Header.Get("Content-Type"), PartSize: 5 << 20, DisableMultipart: r.ContentLength >= 0}
	info, err := c.PutObject(r.Context(), bucket, r.PathValue("key"), r.Body, r.ContentLength, opts)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(info.ETag))
	w.WriteHeader(http.StatusCreated)
	return nil
}

// get answers with an object, or the range of it that was asked for.
func get(w http.ResponseWriter, r *http.Request, c *minio.Client) error {
	object, err := c.GetObject(r.Context(), bucket, r.PathValue("key"), minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer object.Close()
	info, err := object.Stat()
	if err != nil {
		return err
	}
	if r.Header.Get("Range") != "" {
		http.ServeContent(w, r, info.Key, info.LastModified, object)
		return nil
	}
	_, err = io.Copy(w, object)
	return err
}

// list tells the keys of all objects.
func list(w http.ResponseWriter, r *http.Request, c *minio.Client) error {
	keys := []string{}
	for object := range c.ListObjects(r.Context(), bucket, minio.ListObjectsOptions{Recursive: true, MaxKeys: 2}) {
		if object.Err != nil {
			return object.Err
		}
		keys = append(keys, object.Key)
	}
	return json.NewEncoder(w).Encode(keys)
}
