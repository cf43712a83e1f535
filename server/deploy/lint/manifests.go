package lint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests are the objects of a kustomization, one of each kind.
type manifests struct {
	set     *appsv1.StatefulSet
	service *corev1.Service
	policy  *networkingv1.NetworkPolicy
	config  *corev1.ConfigMap
}

// kustomized is what `kubectl apply -k` would send of a folder, decoded. Files are by name.
func kustomized(files map[string]string) (*manifests, error) {
	disk := filesys.MakeFsInMemory()
	for name, text := range files {
		if err := disk.WriteFile("/k/"+name, []byte(text)); err != nil {
			return nil, err
		}
		if name == "kustomization.yaml" || name == "sortie.yaml" {
			continue
		}
		if _, err := decode([]byte(text)); err != nil { // as written, before kustomize has touched it
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/k")
	if err != nil {
		return nil, err
	}
	text, err := resources.AsYaml()
	if err != nil {
		return nil, err
	}
	objects, err := decode(text)
	if err != nil {
		return nil, err
	}
	return sorted(objects)
}

// decode decodes YAML documents as the API server does that is asked to be strict: an unknown kind, an unknown field, a field that
// comes twice, or a value of another type is an error.
func decode(text []byte) (objects []runtime.Object, err error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(appsv1.AddToScheme(scheme), corev1.AddToScheme(scheme), networkingv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

func sorted(objects []runtime.Object) (*manifests, error) {
	var m manifests
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.StatefulSet:
			m.set = o
		case *corev1.Service:
			m.service = o
		case *networkingv1.NetworkPolicy:
			m.policy = o
		case *corev1.ConfigMap:
			m.config = o
		default:
			return nil, fmt.Errorf("a %T, which isn't expected", object)
		}
	}
	if len(objects) != 4 || m.set == nil || m.service == nil || m.policy == nil || m.config == nil {
		return nil, fmt.Errorf("%d objects, want a StatefulSet, a Service, a NetworkPolicy and a ConfigMap", len(objects))
	}
	return &m, nil
}
