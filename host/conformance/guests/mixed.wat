;; Imports Sortie's ABI and Extism's functions: it can be only one kind of plugin, so a host refuses it.
(module
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (memory (export "memory") 1)
  (func (export "handle") (result i32) (i32.const 0)))
