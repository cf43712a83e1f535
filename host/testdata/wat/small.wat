;; As little as a guest can be: one page of memory, and the same answer to every request. isolation_bench_test.go measures what its clean state costs.
(module
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  ;; A response: status 200, no fields, the body's address, 32, and its length, 2.
  (data (i32.const 0) "\40\c8" "\00" "\20" "\02")
  (data (i32.const 32) "ok")

  (func (export "handle") (result i32)
    ;; Something to bring back.
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 64) (global.get $calls))
    (call $respond (i32.const 0) (i32.const 5)))
)
