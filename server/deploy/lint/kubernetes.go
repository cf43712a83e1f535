package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// Kubernetes tells what is wrong with a kustomization, whose files are given by name. User is the image's.
func Kubernetes(files map[string]string, user int64) (problems []string) {
	m, err := kustomized(files)
	if err != nil {
		return []string{err.Error()}
	}
	return slices.Concat(m.restricted(), m.pod(user), m.container(), m.probes(), m.storage(), m.network())
}

type complaints []string

func (c *complaints) unless(fine bool, format string, args ...any) {
	if !fine {
		*c = append(*c, fmt.Sprintf(format, args...))
	}
}

func yes(b *bool) bool { return b != nil && *b }
func no(b *bool) bool  { return b != nil && !*b }

// restricted holds the pod to Kubernetes' own Pod Security Standards, at their strictest.
func (m *manifests) restricted() (c complaints) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return complaints{err.Error()}
	}
	template := m.set.Spec.Template
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		c.unless(result.Allowed, "%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
	}
	return c
}

func (m *manifests) pod(user int64) (c complaints) {
	set, spec := m.set.Spec, m.set.Spec.Template.Spec
	c.unless(m.set.Namespace == "" && m.service.Namespace == "" && m.policy.Namespace == "" && m.config.Namespace == "", "a namespace is written down")
	c.unless(set.Replicas != nil && *set.Replicas == 1, "the store is one process's, so there is one replica")
	c.unless(no(spec.AutomountServiceAccountToken), "the service account's token is mounted")
	c.unless(no(spec.EnableServiceLinks), "service links put variables of their own beside the server's")
	c.unless(!spec.HostNetwork && !spec.HostPID && !spec.HostIPC, "it shares the host's namespaces")
	c.unless(maps.Equal(set.Selector.MatchLabels, set.Template.Labels), "the selector doesn't match the pod")
	s := spec.SecurityContext
	if s == nil || s.RunAsUser == nil || s.RunAsGroup == nil || s.FSGroup == nil {
		return append(c, "user, group and the volume's group aren't all set")
	}
	c.unless(*s.RunAsUser == user && *s.RunAsGroup == user && *s.FSGroup == user, "user, group and the volume's group aren't the image's, %d", user)
	return c
}

// pinnedTag is an image's version; its registry may have a port.
var pinnedTag = regexp.MustCompile(`(:v\d+\.\d+\.\d+[a-z0-9.-]*|@sha256:[0-9a-f]{64})$`)

func (m *manifests) container() (c complaints) {
	spec := m.set.Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		return complaints{"there is more than one container, or none"}
	}
	it := spec.Containers[0]
	c.unless(pinnedTag.MatchString(it.Image), "%s isn't pinned to a version", it.Image)
	c.unless(it.SecurityContext != nil && yes(it.SecurityContext.ReadOnlyRootFilesystem), "the root file system can be written to")
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		_, ok := it.Resources.Requests[name]
		c.unless(ok, "no %s is requested", name)
	}
	_, ok := it.Resources.Limits[corev1.ResourceMemory]
	c.unless(ok, "memory has no limit")
	c.unless(len(it.Ports) == 1 && it.Ports[0].ContainerPort == 8080, "it has other ports than 8080")
	c.unless(len(it.Command) == 0 && slices.Equal(it.Args, []string{"serve", "--config", "/etc/sortie/sortie.yaml"}), "it runs %q %q", it.Command, it.Args)
	token := false
	for _, env := range it.Env {
		secret := env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil && env.Value == ""
		if env.Name == "SORTIE_ADMIN_TOKEN" {
			token = secret && *env.ValueFrom.SecretKeyRef == corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "sortie"}, Key: "admin-token",
			}
		}
		c.unless(secret || !secretName.MatchString(env.Name), "%s is written down", env.Name)
	}
	c.unless(token, "the admin's token isn't the secret's, or may be missing")
	return c
}

func (m *manifests) probes() (c complaints) {
	it := m.set.Spec.Template.Spec.Containers[0]
	for _, p := range []struct {
		name, path string
		probe      *corev1.Probe
	}{{"startup", "/livez", it.StartupProbe}, {"liveness", "/livez", it.LivenessProbe}, {"readiness", "/readyz", it.ReadinessProbe}} {
		if p.probe == nil || p.probe.HTTPGet == nil {
			c.unless(false, "there is no %s probe by HTTP", p.name)
			continue
		}
		c.unless(p.probe.HTTPGet.Path == p.path, "the %s probe asks %s", p.name, p.probe.HTTPGet.Path)
		c.unless(p.probe.HTTPGet.Port == intstr.FromString("http"), "the %s probe asks port %s", p.name, p.probe.HTTPGet.Port.String())
	}
	return c
}

func (m *manifests) storage() (c complaints) {
	spec := m.set.Spec.Template.Spec
	mounts := map[string]corev1.VolumeMount{}
	for _, mount := range spec.Containers[0].VolumeMounts {
		mounts[mount.MountPath] = mount
	}
	claims := m.set.Spec.VolumeClaimTemplates
	c.unless(len(claims) == 1 && claims[0].Name == mounts["/data"].Name && !mounts["/data"].ReadOnly, "/data is no claim that can be written to")
	config := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == mounts["/etc/sortie"].Name })
	c.unless(config >= 0 && spec.Volumes[config].ConfigMap != nil && spec.Volumes[config].ConfigMap.Name == m.config.Name, "/etc/sortie isn't the ConfigMap")
	c.unless(strings.HasPrefix(m.config.Name, "sortie-"), "the ConfigMap's name has no hash, so that no change restarts the pod")
	c.unless(m.config.Data["sortie.yaml"] != "" && len(m.config.Data) == 1, "the ConfigMap holds other things than sortie.yaml")
	for _, v := range spec.Volumes {
		c.unless(v.HostPath == nil, "%s is the node's", v.Name)
	}
	return c
}

func (m *manifests) network() (c complaints) {
	labels := m.set.Spec.Template.Labels
	c.unless(maps.Equal(m.service.Spec.Selector, labels), "the service selects other pods")
	c.unless(len(m.service.Spec.Ports) == 1 && m.service.Spec.Ports[0].TargetPort == intstr.FromString("http"), "the service leads to another port")
	c.unless(m.service.Spec.Type == "" || m.service.Spec.Type == corev1.ServiceTypeClusterIP, "the service is open to outside the cluster")
	c.unless(m.set.Spec.ServiceName == m.service.Name, "the StatefulSet names another service")
	p := m.policy.Spec
	c.unless(maps.Equal(p.PodSelector.MatchLabels, labels), "the network policy selects other pods")
	c.unless(slices.Equal(p.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}), "the network policy isn't for both directions")
	c.unless(len(p.Ingress) == 1 && only(p.Ingress[0].Ports, 8080), "more than port 8080 can be reached")
	for _, rule := range p.Egress {
		c.unless(len(rule.To) > 0, "a rule lets everything out")
		for _, to := range rule.To {
			inside := to.NamespaceSelector != nil || to.PodSelector != nil || to.IPBlock != nil && to.IPBlock.CIDR != "0.0.0.0/0" && to.IPBlock.CIDR != "2000::/3"
			c.unless(!inside || only(rule.Ports, 53), "more than DNS can be reached inside")
			system := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}}
			c.unless(to.NamespaceSelector == nil || metav1.FormatLabelSelector(to.NamespaceSelector) == metav1.FormatLabelSelector(system), "DNS is elsewhere")
			c.unless(inside || len(to.IPBlock.Except) > 0, "private addresses can be reached")
		}
	}
	return c
}

// only tells whether a rule is for one port.
func only(ports []networkingv1.NetworkPolicyPort, port int) bool {
	return len(ports) > 0 && !slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || *p.Port != intstr.FromInt(port) || p.EndPort != nil
	})
}
