package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sortie-run/sortie/sdk/go/sortietest"
)

// TestAnswersKeepTheirOrder has three addresses that answer after a second, in fake time, one of them with a failure.
func TestAnswersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := sortietest.New(t)
		host.Config(map[string]any{"urls": []string{"https://a.example/", "https://b.example/", "https://c.example/"}})
		host.Reply("https://a.example/", sortietest.Reply{Body: "one", Delay: time.Second})
		host.Reply("https://b.example/", sortietest.Reply{Status: 503, Delay: time.Second})
		host.Reply("https://c.example/", sortietest.Reply{Body: "three", Delay: time.Second})

		began := time.Now()
		resp, err := host.Invoke("GET", "/")
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Second || host.MaxInFlight() != 3 {
			t.Errorf("took %s with %d at once, want one second for all three", took, host.MaxInFlight())
		}
		var answers []answer
		if err := resp.JSON(&answers); err != nil {
			t.Fatal(err)
		}
		if len(answers) != 3 || answers[0].Body != "one" || !strings.Contains(answers[1].Error, "http_status") || answers[2].Body != "three" {
			t.Errorf("got %s", resp.Body)
		}
	})
}

func TestNoAddresses(t *testing.T) {
	t.Parallel()
	resp, err := sortietest.New(t).Invoke("GET", "/")
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 200 || resp.Text() != "[]" {
		t.Errorf("got %d %s", resp.Status, resp.Text())
	}
}
