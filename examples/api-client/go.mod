module github.com/sortie-run/sortie/examples/api-client

go 1.26.0

require (
	github.com/google/go-github/v90 v90.0.0
	github.com/sortie-run/sortie/sdk/go v0.0.0
)

require github.com/google/go-querystring v1.2.0 // indirect

replace github.com/sortie-run/sortie/sdk/go => ../../sdk/go
