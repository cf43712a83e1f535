;; Has a start function, which runs before anything else, and leaves there what the entry answers. Its other export takes a
;; parameter, so it can't be an entry.
(module
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A response: status 200, no fields, the body's address, 32, and its length, 2.
  (data (i32.const 0) "\40\c8" "\00" "\20" "\02")
  (func $first (i32.store16 (i32.const 32) (i32.const 0x6b6f)))
  (start $first)
  (func (export "wants") (param i32) (result i32) (local.get 0))
  (func (export "handle") (result i32) (call $respond (i32.const 0) (i32.const 5)))
)
