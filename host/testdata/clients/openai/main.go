// Command openai is a plugin around github.com/sashabaranov/go-openai, which knows nothing of Sortie: server-sent events as they come, a
// multipart upload, errors of its own. The tests of package host run it.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	openai "github.com/sashabaranov/go-openai"

	sortie "github.com/sortie-run/sortie/sdk/go"
	"github.com/sortie-run/sortie/sdk/go/sortiehttp"
)

func main() {}

func init() {
	http.DefaultTransport = new(sortiehttp.Transport) // for the client that go-openai makes
	http.HandleFunc("POST /chat", chat)
	http.HandleFunc("POST /transcript", transcript)
	sortiehttp.Serve(nil)
}

func client() *openai.Client {
	config := openai.DefaultConfig("key")
	config.BaseURL, _ = sortie.Config("api")
	return openai.NewClientWithConfig(config)
}

// chat hands each piece of the model's answer on as it comes, as an event.
func chat(w http.ResponseWriter, r *http.Request) {
	prompt, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, err)
		return
	}
	stream, err := client().CreateChatCompletionStream(r.Context(), openai.ChatCompletionRequest{
		Model:    openai.GPT4o,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: string(prompt)}},
	})
	if err != nil {
		fail(w, err)
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			sortie.Log.ErrorContext(r.Context(), "the stream has failed", "err", err)
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "data: %s\n\n", part.Choices[0].Delta.Content)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
	}
}

// transcript sends the request's body as a file.
func transcript(w http.ResponseWriter, r *http.Request) {
	text, err := client().CreateTranscription(r.Context(), openai.AudioRequest{Model: openai.Whisper1, FilePath: "speech.wav", Reader: r.Body})
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprint(w, text.Text)
}

func fail(w http.ResponseWriter, err error) {
	if known := new(openai.APIError); errors.As(err, &known) {
		http.Error(w, fmt.Sprint(known.HTTPStatusCode, " ", known.Type, ": ", known.Message), http.StatusBadGateway)
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}
