module github.com/sortie-run/sortie/server/bench/guest

go 1.26

require github.com/extism/go-pdk v1.1.3
