;; The least that a guest does with a body: it answers its request's body as it is; or, if that begins with a zero byte, takes it for a fetch
;; as `send` has it (whose method is empty), and answers the fetched body. Bodies may have up to 2 MiB. stream_bench_test.go measures it.
(module
  (import "sortie:host/v1" "read_request" (func $read_request (param i32 i32) (result i32)))
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (import "sortie:host/v1" "send" (func $send (param i32 i32) (result i32)))
  (import "sortie:host/v1" "wait" (func $wait (param i32 i32 i32 i64 i32) (result i32)))
  (import "sortie:host/v1" "body" (func $body (param i32 i32 i32) (result i32)))
  (memory (export "memory") 34)
  ;; A response: status 200, no fields, the body's address, 0x10000, and its length, both varints of four bytes.
  (data (i32.const 0) "\00\00" "\80\01\00\00" "\80\00\00\00")

  (func (export "handle") (result i32)
    (local $n i32)
    (local.set $n (call $read_request (i32.const 0x10000) (i32.const 0x200000)))
    (if (i32.and (i32.ne (local.get $n) (i32.const 0)) (i32.eqz (i32.load8_u (i32.const 0x10000)))) (then
      (i32.store (i32.const 16) (call $send (i32.const 0x10000) (local.get $n)))
      (drop (call $wait (i32.const 16) (i32.const 1) (i32.const 0) (i64.const -1) (i32.const 20)))
      (local.set $n (call $body (i32.load (i32.const 16)) (i32.const 0x10000) (i32.const 0x200000)))))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (i32.store8 (i32.const 7) (i32.shr_u (local.get $n) (i32.const 16)))
    (i32.store8 (i32.const 8) (i32.shr_u (local.get $n) (i32.const 8)))
    (i32.store8 (i32.const 9) (local.get $n))
    (call $respond (i32.const 0) (i32.const 10)))
)
