module github.com/sortie-run/sortie/server/console/e2e/plugin

go 1.26.0

require github.com/sortie-run/sortie/sdk/go v0.0.0

replace github.com/sortie-run/sortie/sdk/go => ../../../../sdk/go
