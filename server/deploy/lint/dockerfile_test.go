package lint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const top = "../../.."

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := read(t, "../Dockerfile")
	if problems := Dockerfile([]byte(text)); len(problems) > 0 {
		t.Errorf("Dockerfile:\n%s", strings.Join(problems, "\n"))
	}
	for name, b := range map[string][2]string{
		"root":                 {"USER 65532:65532", "USER 0:0"},
		"no user":              {"USER 65532:65532\n", ""},
		"user by name":         {"USER 65532:65532", "USER nobody"},
		"latest":               {"golang:1.26.8-bookworm", "golang:latest"},
		"no tag":               {"golang:1.26.8-bookworm", "golang"},
		"half a version":       {"golang:1.26.8-bookworm", "golang:1.26"},
		"not from scratch":     {"FROM scratch", "FROM debian:12.1.0"},
		"shell entry point":    {`ENTRYPOINT ["/sortie"]`, "ENTRYPOINT /sortie"},
		"shell command":        {`CMD ["serve"]`, "CMD serve"},
		"shell health check":   {`CMD ["/sortie", "doctor", "--ready"]`, "CMD /sortie doctor --ready"},
		"no health check":      {`HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/sortie", "doctor", "--ready"]`, "HEALTHCHECK NONE"},
		"other port":           {"EXPOSE 8080", "EXPOSE 80"},
		"no volume":            {`VOLUME ["/data"]`, ""},
		"data of root":         {" --chown=65532:65532", ""},
		"no authorities":       {"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt", ""},
		"with C":               {"CGO_ENABLED=0 ", ""},
		"recipe of its own":    {"go run ./server/deploy/release", "go build ./server/cmd/sortie;"},
		"token in the image":   {"ENV SORTIE_ADDR=:8080", "ENV SORTIE_ADMIN_TOKEN=x SORTIE_ADDR=:8080"},
		"ADD":                  {"COPY LICENSE", "ADD LICENSE"},
		"RUN in the image":     {"STOPSIGNAL SIGTERM", `RUN ["/sortie", "version"]`},
		"unknown instruction":  {"STOPSIGNAL SIGTERM", "STOPSIGNL SIGTERM"},
		"what BuildKit warns":  {" AS build", " as build"},
		"misspelt flag":        {"--interval", "--intervall"},
		"empty continued line": {"LABEL org.opencontainers.image.title=\"Sortie\" \\\n", "LABEL org.opencontainers.image.title=\"Sortie\" \\\n\n"},
	} {
		if len(Dockerfile([]byte(replaced(t, text, b[0], b[1])))) == 0 {
			t.Errorf("%s: no problem was found", name)
		}
	}
}

// TestContext holds Dockerfile.dockerignore to what the image is built from: every file that the build reads gets through, and nothing
// that isn't the sources'.
func TestContext(t *testing.T) {
	t.Parallel()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, "../Dockerfile.dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	ignored := func(file string) bool {
		hit, err := matcher.MatchesOrParentMatches(file)
		if err != nil {
			t.Fatal(err)
		}
		return hit
	}
	format := `{{if and .Module .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}`
	cmd := exec.Command("go", "list", "-deps", "-f", format, "./server/cmd/sortie", "./server/deploy/release")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 100 {
		t.Fatalf("the build reads %d files", len(files))
	}
	for _, file := range files {
		rel, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		if ignored(filepath.ToSlash(rel)) {
			t.Errorf("%s is needed, and ignored", rel)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "LICENSE"} {
		if ignored(file) {
			t.Errorf("%s is needed, and ignored", file)
		}
	}
	for _, file := range []string{".git/config", ".env", "build/sortie", "secret.yaml", "server/.env", "host/testdata/wat/small.wasm", "server/server_test.go"} {
		if !ignored(file) {
			t.Errorf("%s would be sent to the builder", file)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// replaced is text with something else in the place of old, which has to be there.
func replaced(t *testing.T, text, old, with string) string {
	t.Helper()
	if !strings.Contains(text, old) {
		t.Fatalf("there is no %q to replace", old)
	}
	return strings.ReplaceAll(text, old, with)
}
