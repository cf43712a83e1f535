package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

var (
	// pinned is an image with a whole version for its tag, or a digest.
	pinned = regexp.MustCompile(`^[a-z0-9./-]+(:v?\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})$`)
	// unprivileged is a user and a group by numbers, neither of them root's. A name would need an /etc/passwd.
	unprivileged = regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`)
	secretName   = regexp.MustCompile(`(?i)token|secret|password|credential|api_?key`)
)

// Dockerfile tells what is wrong with one, BuildKit's own warnings included.
func Dockerfile(text []byte) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return []string{err.Error()}
	}
	for _, w := range parsed.Warnings {
		bad("%s", w.Short)
	}
	warn := func(rule, _, _, message string, _ []parser.Range) { bad("%s: %s", rule, message) }
	stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		return append(problems, err.Error())
	}
	for _, stage := range stages[:len(stages)-1] {
		if !pinned.MatchString(stage.BaseName) {
			bad("line %d: %s isn't pinned to a whole version", stage.Location[0].Start.Line, stage.BaseName)
		}
	}
	return append(problems, slices.Concat(everywhere(stages), buildStage(stages[0]), finalStage(stages[len(stages)-1]))...)
}

// everywhere looks for what no stage may have.
func everywhere(stages []instructions.Stage) (problems []string) {
	for _, stage := range stages {
		for _, cmd := range stage.Commands {
			var names []string
			switch c := cmd.(type) {
			case *instructions.AddCommand:
				problems = append(problems, "ADD fetches and unpacks: use COPY")
			case *instructions.EnvCommand:
				for _, pair := range c.Env {
					names = append(names, pair.Key)
				}
			case *instructions.ArgCommand:
				for _, pair := range c.Args {
					names = append(names, pair.Key)
				}
			}
			for _, name := range names {
				if secretName.MatchString(name) {
					problems = append(problems, name+" would stay in the image's history")
				}
			}
		}
	}
	return problems
}

// buildStage asks for the release's recipe and a build without C.
func buildStage(stage instructions.Stage) (problems []string) {
	var recipe, static bool
	for _, cmd := range stage.Commands {
		switch c := cmd.(type) {
		case *instructions.RunCommand:
			recipe = recipe || strings.Contains(strings.Join(c.CmdLine, " "), "go run ./server/deploy/release ")
		case *instructions.EnvCommand:
			static = static || slices.Contains(c.Env, instructions.KeyValuePair{Key: "CGO_ENABLED", Value: "0"})
		}
	}
	if !recipe {
		problems = append(problems, "the binary isn't built by server/deploy/release")
	}
	if !static {
		problems = append(problems, "CGO_ENABLED=0 is missing")
	}
	return problems
}

// image is what the final stage makes.
type image struct {
	user, health             string
	env                      map[string]string
	exposed, volumes, copied []string
	entry, cmd               []string
	owned                    bool // /data belongs to the user
}

func finalStage(stage instructions.Stage) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if stage.BaseName != "scratch" {
		bad("the image is made from %s, not from scratch", stage.BaseName)
	}
	i := image{env: map[string]string{}}
	for _, cmd := range stage.Commands {
		problems = append(problems, i.add(cmd)...)
	}
	if !unprivileged.MatchString(i.user) {
		bad("USER is %q: write a user and a group by their numbers, not root's", i.user)
	}
	if !slices.Equal(i.entry, []string{"/sortie"}) || !slices.Equal(i.cmd, []string{"serve"}) {
		bad("ENTRYPOINT %q and CMD %q don't make it /sortie serve", i.entry, i.cmd)
	}
	if i.health != "CMD /sortie doctor --ready" {
		bad("HEALTHCHECK is %q", i.health)
	}
	if !slices.Equal(i.exposed, []string{"8080"}) || i.env["SORTIE_ADDR"] != ":8080" {
		bad("it exposes %q and listens on %q", i.exposed, i.env["SORTIE_ADDR"])
	}
	if !slices.Equal(i.volumes, []string{"/data"}) || i.env["SORTIE_DATA"] != "/data" || !i.owned {
		bad("data go to %q, volumes are %q, and the folder is the user's own: %t", i.env["SORTIE_DATA"], i.volumes, i.owned)
	}
	if !slices.Contains(i.copied, "/etc/ssl/certs/ca-certificates.crt") {
		bad("without certificate authorities no https can be checked")
	}
	return problems
}

// add takes note of an instruction, and tells if it isn't one for an image from scratch.
func (i *image) add(cmd instructions.Command) (problems []string) {
	shell := func(c instructions.ShellDependantCmdLine) {
		if c.PrependShell {
			problems = append(problems, fmt.Sprintf("%s needs a shell: write it as a JSON list", cmd.Name()))
		}
	}
	switch c := cmd.(type) {
	case *instructions.RunCommand:
		problems = append(problems, "RUN in the final stage, where there is nothing to run")
	case *instructions.UserCommand:
		i.user = c.User
	case *instructions.EnvCommand:
		for _, pair := range c.Env {
			i.env[pair.Key] = pair.Value
		}
	case *instructions.ExposeCommand:
		i.exposed = c.Ports
	case *instructions.VolumeCommand:
		i.volumes = c.Volumes
	case *instructions.CopyCommand:
		i.copied = append(i.copied, c.DestPath)
		i.owned = i.owned || c.DestPath == "/data" && unprivileged.MatchString(c.Chown)
	case *instructions.EntrypointCommand:
		shell(c.ShellDependantCmdLine)
		i.entry = c.CmdLine
	case *instructions.CmdCommand:
		shell(c.ShellDependantCmdLine)
		i.cmd = c.CmdLine
	case *instructions.HealthCheckCommand:
		i.health = strings.Join(c.Health.Test, " ")
	}
	return problems
}
