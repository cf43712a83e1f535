// Package lint holds the files of server/deploy to what they promise, with the parsers of those who will read them: BuildKit's for the
// Dockerfile, Kubernetes' types and Pod Security Standards and kustomize for the manifests, CycloneDX's schema for the bill of materials.
//
// It is a module of its own because these are large, and nothing in the server needs them. `go test ./server/deploy` runs it.
package lint
