;; Imports from a module that no host has.
(module
  (import "env" "puts" (func $puts (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle") (result i32) (i32.const 0)))
