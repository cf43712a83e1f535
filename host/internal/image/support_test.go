package image_test

import (
	"os"
	"testing"

	"github.com/sortie-run/sortie/host/internal/image"
)

// TestSupport: what is told is what New does.
func TestSupport(t *testing.T) {
	method, why := image.Support()
	if (why == nil) != (method == image.Watch) {
		t.Errorf("%s, because %v", method, why)
	}
	if method == image.None {
		t.Skip(why)
	}
	i, err := image.New(make([]byte, os.Getpagesize()), image.Watch)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Method() != method {
		t.Errorf("%s is used, %s is told", i.Method(), method)
	}
}
