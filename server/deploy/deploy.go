// Package deploy holds what it takes to run Sortie for real, and its tests hold all of it to what it promises:
//
//	Dockerfile    an image from scratch
//	kubernetes    a kustomization
//	systemd       a unit for one machine
//	release       the release's binaries, the same bytes wherever they are built, each with its bill of materials (sbom)
//	lint          checks with the parsers of Docker and Kubernetes themselves; a module of its own, since those are large
package deploy
