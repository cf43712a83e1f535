// Command guest is what Extism's own SDK runs in the comparison. Extism has one way to fetch, which blocks, so a fan-out is one
// fetch after the other.
package main

func main() {}
