package deploy

import (
	"go/version"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"github.com/docker/go-units"
	"github.com/goccy/go-yaml"

	"github.com/sortie-run/sortie/host/manifest"
)

// closing is what a server may take when the drain is over; see closeTime in server/internal/cli.
const closing = 5 * time.Second

// fence is what surrounds a server: how long it has to end, and how much memory.
type fence struct {
	stop   time.Duration
	memory int64
}

// TestConfigurations reads each sortie.yaml as a server does, and holds it against the limits that it has to fit in.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for file, limits := range map[string]fence{
		"kubernetes/sortie.yaml": podFence(t),
		"systemd/sortie.yaml":    unitFence(t),
	} {
		text := read(t, file)
		if problems := configProblems(text, limits); len(problems) > 0 {
			t.Errorf("%s: %s", file, strings.Join(problems, "; "))
		}
		for name, broken := range map[string]string{
			"unknown key":          text + "\nnonsense: true\n",
			"other port":           replaced(t, text, "8080", "8081"),
			"longer than the stop": replaced(t, text, "drain: 30s", "drain: 41s"),
			"all the memory":       regexp.MustCompile(`memory: \dGiB`).ReplaceAllString(text, "memory: 4GiB"),
		} {
			if len(configProblems(broken, limits)) == 0 {
				t.Errorf("%s, %s: no problem was found", file, name)
			}
		}
	}
}

func configProblems(text string, limits fence) (problems []string) {
	operator, err := manifest.ParseOperator([]byte(text))
	if err != nil {
		return []string{err.Error()}
	}
	if _, port, _ := net.SplitHostPort(operator.Addr); port != "8080" {
		problems = append(problems, "addr has port "+port+", which nothing else here knows")
	}
	if drain := time.Duration(operator.Process.Drain); drain+closing >= limits.stop {
		problems = append(problems, "process.drain "+drain.String()+" isn't over when the process is killed, after "+limits.stop.String())
	}
	if int64(operator.Process.Memory) > limits.memory/2 {
		problems = append(problems, "process.memory is more than half of what the process is given")
	}
	return problems
}

func unitFence(t *testing.T) fence {
	t.Helper()
	found := settings(read(t, unitFile))
	stop, err := time.ParseDuration(found["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	memory, err := units.RAMInBytes(found["MemoryMax"])
	if err != nil {
		t.Fatal(err)
	}
	return fence{stop, memory}
}

func podFence(t *testing.T) fence {
	t.Helper()
	var set struct {
		Spec struct {
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Resources struct {
							Limits struct{ Memory string }
						}
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/statefulset.yaml")), &set); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	memory, err := units.RAMInBytes(pod.Containers[0].Resources.Limits.Memory + "B") // Gi, as Kubernetes has it, and GiB
	if err != nil {
		t.Fatal(err)
	}
	return fence{time.Duration(pod.Grace) * time.Second, memory}
}

// TestEgress holds the network policy to the addresses that the server's own guard refuses.
func TestEgress(t *testing.T) {
	t.Parallel()
	var policy struct {
		Spec struct {
			Egress []struct {
				To []struct {
					IPBlock struct {
						CIDR   string   `yaml:"cidr"`
						Except []string `yaml:"except"`
					} `yaml:"ipBlock"`
				} `yaml:"to"`
			} `yaml:"egress"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "kubernetes/networkpolicy.yaml")), &policy); err != nil {
		t.Fatal(err)
	}
	excepted := map[string][]string{}
	for _, rule := range policy.Spec.Egress {
		for _, to := range rule.To {
			excepted[to.IPBlock.CIDR] = to.IPBlock.Except
		}
	}
	for _, prefix := range ssrf.IPv4DeniedPrefixes {
		if !slices.Contains(excepted["0.0.0.0/0"], prefix.String()) {
			t.Errorf("the policy lets %s through", prefix)
		}
	}
	for _, prefix := range ssrf.IPv6DeniedPrefixes {
		if !slices.Contains(excepted[ssrf.IPv6GlobalUnicast.String()], prefix.String()) {
			t.Errorf("the policy lets %s through", prefix)
		}
	}
	for cidr := range excepted {
		if !slices.Contains([]string{"", "169.254.20.10/32", "0.0.0.0/0", ssrf.IPv6GlobalUnicast.String()}, cidr) {
			t.Errorf("egress to %s: what for?", cidr)
		}
	}
}

// TestImageGo holds the image's Go to what go.mod asks for.
func TestImageGo(t *testing.T) {
	t.Parallel()
	image := regexp.MustCompile(`FROM .*golang:(\d+\.\d+\.\d+)-`).FindStringSubmatch(read(t, "Dockerfile"))
	module := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, "../../go.mod"))
	if image == nil || module == nil || version.Compare("go"+image[1], "go"+module[1]) < 0 {
		t.Errorf("the image is built with Go %v, go.mod asks for %v", image, module)
	}
}
