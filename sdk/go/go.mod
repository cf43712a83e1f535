module github.com/sortie-run/sortie/sdk/go

go 1.26
