package lint

import (
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const folder = "../kubernetes/"

// kustomization are the files of the folder, but for the example.
func kustomization(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		if name := e.Name(); name != "secret.example.yaml" {
			files[name] = read(t, folder+name)
		}
	}
	return files
}

func imageUser(t *testing.T) int64 {
	t.Helper()
	user := regexp.MustCompile(`(?m)^USER (\d+):`).FindStringSubmatch(read(t, "../Dockerfile"))
	if user == nil {
		t.Fatal("the Dockerfile has no USER")
	}
	id, err := strconv.ParseInt(user[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	files, user := kustomization(t), imageUser(t)
	if problems := Kubernetes(files, user); len(problems) > 0 {
		t.Fatalf("kubernetes:\n%s", strings.Join(problems, "\n"))
	}
	for name, b := range breakages {
		broken := maps.Clone(files)
		broken[b.file] = replaced(t, files[b.file], b.old, b.with)
		problems := strings.Join(Kubernetes(broken, user), "\n")
		if problems == "" || !strings.Contains(problems, b.says) {
			t.Errorf("%s: the problems are %q, want one with %q", name, problems, b.says)
		}
	}
	if len(Kubernetes(files, user+1)) == 0 {
		t.Error("another user than the image's: no problem was found")
	}
}

// breakages turn the kustomization into one that must not pass.
var breakages = map[string]struct{ file, old, with, says string }{
	"unknown field":            {"statefulset.yaml", "replicas: 1", "replica: 1", `unknown field "spec.replica"`},
	"field of other type":      {"statefulset.yaml", "replicas: 1", "replicas: one", "cannot unmarshal"},
	"field twice":              {"service.yaml", "ports:", "selector: {a: b}\n  ports:", "already set"},
	"unknown kind":             {"service.yaml", "kind: Service", "kind: Servce", "no kind"},
	"unknown key of kustomize": {"kustomization.yaml", "resources:", "resource: []\nresources:", `unknown field "resource"`},

	"root":               {"statefulset.yaml", "runAsUser: 65532", "runAsUser: 0", "runAsUser=0"},
	"maybe root":         {"statefulset.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
	"escalation":         {"statefulset.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"},
	"capabilities":       {"statefulset.yaml", "capabilities: {drop: [ALL]}", "capabilities: {add: [NET_ADMIN]}", "capabilities"},
	"no seccomp":         {"statefulset.yaml", "RuntimeDefault", "Unconfined", "seccomp"},
	"privileged":         {"statefulset.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: true\n            privileged: true", "privileged"},
	"writable root":      {"statefulset.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "root file system"},
	"service account":    {"statefulset.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "service account"},
	"service links":      {"statefulset.yaml", "enableServiceLinks: false", "enableServiceLinks: true", "service links"},
	"host's network":     {"statefulset.yaml", "enableServiceLinks: false", "enableServiceLinks: false\n      hostNetwork: true", "host's"},
	"volume's group":     {"statefulset.yaml", "fsGroup: 65532", "fsGroup: 1", "the volume's group"},
	"two replicas":       {"statefulset.yaml", "replicas: 1", "replicas: 2", "one replica"},
	"other pods":         {"statefulset.yaml", "matchLabels: {app.kubernetes.io/name: sortie}", "matchLabels: {app: sortie}", "selector"},
	"latest":             {"kustomization.yaml", "newTag: v1.2.3", "newTag: latest", "pinned"},
	"no version":         {"kustomization.yaml", "    newTag: v1.2.3\n", "", "pinned"},
	"no startup probe":   {"statefulset.yaml", "httpGet: {path: /livez, port: http}\n            periodSeconds: 2", "tcpSocket: {port: http}", "no startup probe"},
	"no liveness probe":  {"statefulset.yaml", "livenessProbe:\n            httpGet: {path: /livez, port: http}", "livenessProbe:\n            exec: {command: [a]}", "no liveness probe"},
	"no readiness probe": {"statefulset.yaml", "httpGet: {path: /readyz, port: http}", "tcpSocket: {port: http}", "no readiness probe"},
	"live, not ready":    {"statefulset.yaml", "path: /readyz", "path: /livez", "readiness probe asks"},
	"probe's port":       {"statefulset.yaml", "path: /readyz, port: http", "path: /readyz, port: 80", "port 80"},
	"no requests":        {"statefulset.yaml", "requests: {cpu: 500m, memory: 512Mi}", "requests: {cpu: 500m}", "no memory is requested"},
	"no limit":           {"statefulset.yaml", "limits: {memory: 2Gi}", "limits: {}", "no limit"},
	"token in the open":  {"statefulset.yaml", "valueFrom:\n                secretKeyRef: {name: sortie, key: admin-token}", "value: x", "written down"},
	"optional token":     {"statefulset.yaml", "key: admin-token}", "key: admin-token, optional: true}", "may be missing"},
	"data on the node":   {"statefulset.yaml", "configMap: {name: sortie}", "configMap: {name: sortie}\n        - name: extra\n          hostPath: {path: /}", "hostPath"},
	"no claim":           {"statefulset.yaml", "mountPath: /data", "mountPath: /var", "/data"},
	"no configuration":   {"statefulset.yaml", "mountPath: /etc/sortie", "mountPath: /etc/other", "/etc/sortie"},
	"a fixed ConfigMap":  {"kustomization.yaml", "    options:\n", "    options:\n      disableNameSuffixHash: true\n", "hash"},
	"a namespace":        {"service.yaml", "metadata:\n", "metadata:\n  namespace: prod\n", "namespace"},
	"service's port":     {"service.yaml", "targetPort: http", "targetPort: 80", "another port"},
	"public service":     {"service.yaml", "spec:\n", "spec:\n  type: LoadBalancer\n", "open to outside"},
	"open ingress":       {"networkpolicy.yaml", "- {port: 8080, protocol: TCP}", "- {port: 8080, endPort: 9090, protocol: TCP}", "more than port 8080"},
	"no egress":          {"networkpolicy.yaml", "[Ingress, Egress]", "[Ingress]", "both directions"},
	"all of the cluster": {"networkpolicy.yaml", "        - {port: 53, protocol: UDP}\n", "        - {port: 443, protocol: TCP}\n", "more than DNS"},
	"any namespace":      {"networkpolicy.yaml", "matchLabels: {kubernetes.io/metadata.name: kube-system}", "matchLabels: {}", "elsewhere"},
}

// TestSecretExample: it has the key that the pod asks for, and no value that somebody could forget to change.
func TestSecretExample(t *testing.T) {
	t.Parallel()
	text := read(t, folder+"secret.example.yaml")
	if !blank(t, text) {
		t.Error("the example holds a token, or not the key that the pod asks for")
	}
	if blank(t, replaced(t, text, `admin-token: ""`, "admin-token: changeme")) || blank(t, replaced(t, text, `admin-token: ""`, `token: ""`)) {
		t.Error("a token in the example isn't seen, or another key")
	}
	if strings.Contains(read(t, folder+"kustomization.yaml"), "secret") {
		t.Error("the kustomization has the secret: it would replace the real one")
	}
}

func blank(t *testing.T, text string) bool {
	t.Helper()
	objects, err := decode([]byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	secret, ok := objects[0].(*corev1.Secret)
	value, there := secret.StringData["admin-token"]
	return ok && secret.Name == "sortie" && there && value == "" && len(secret.StringData) == 1 && len(secret.Data) == 0
}
