// Command raw-extism is an ordinary Extism plugin: it is built with Extism's own PDK and with nothing of Sortie's, and runs on
// Sortie as it is. Which of its exports a deployment calls is the manifest's `entry`.
//
// Each export is one thing that such a plugin can do:
//
//	handle    fetch_all: many fetches at once, through Sortie's one host function for Extism plugins
//	http_one  the PDK's own HTTP request: one fetch, under Sortie's policy
//	http_each several of them, one after the other
//	echo      input to output
//	fail      an error that the plugin reports itself
//	vars      Extism variables, which last no longer than the invocation
//
// The exports are in files that only a WebAssembly build compiles; fetchall.go holds what can be tested on any machine.
package main

func main() {}
