;; Built for a version of the ABI that there isn't: a host refuses it.
(module
  (import "sortie:host/v2" "respond" (func $respond (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle") (result i32) (i32.const 0)))
