;; Leaves a secret where only WebAssembly itself can, and searches for it. The request's body is a byte that says what to do, then the secret, or
;; to search, the secret xored with mask. The answer is one byte: '0' where nothing was found. isolation_test.go runs it.
(module
  (import "sortie:host/v1" "read_request" (func $read_request (param i32 i32) (result i32)))
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (memory (export "memory") 2 8)
  (global $kept (mut i64) (i64.const 0))
  (global $float (mut f64) (f64.const 0))
  (global $mask i64 (i64.const 0x5aa512348765a55a))
  ;; A response: status 200, no fields, the body's address, 16, and its length, 1.
  (data (i32.const 0) "\00\00" "\10" "\01")
  (data (i32.const 0x10000) "never changed")

  (func (export "handle") (result i32)
    (local $at i32) (local $want i64)
    (drop (call $read_request (i32.const 32) (i32.const 9)))
    (i32.store8 (i32.const 16) (i32.const 0x30))
    (local.set $want (i64.load (i32.const 33)))
    (if (i32.eq (i32.load8_u (i32.const 32)) (i32.const 0x70)) (then ;; p: plant
      (global.set $kept (local.get $want))
      (global.set $float (f64.reinterpret_i64 (local.get $want)))
      (local.set $at (i32.const 64))
      (loop $fill
        (i64.store (local.get $at) (local.get $want))
        (local.set $at (i32.add (local.get $at) (i32.const 1000)))
        (br_if $fill (i32.lt_u (local.get $at) (i32.const 0x1fff0))))
      (if (i64.eqz (i64.rem_u (local.get $want) (i64.const 4))) (then ;; now and then, in grown pages
        (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then
          (i64.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 8)) (local.get $want))))))
    ) (else ;; search
      (if (i64.eq (i64.xor (global.get $kept) (global.get $mask)) (local.get $want)) (then (i32.store8 (i32.const 16) (i32.const 0x67))))
      (if (i64.eq (i64.xor (i64.reinterpret_f64 (global.get $float)) (global.get $mask)) (local.get $want)) (then
        (i32.store8 (i32.const 16) (i32.const 0x66))))
      (if (i32.ne (memory.size) (i32.const 2)) (then (i32.store8 (i32.const 16) (i32.const 0x73))))
      (if (i32.ne (memory.grow (i32.const 2)) (i32.const 2)) (then (i32.store8 (i32.const 16) (i32.const 0x72))))
      (if (i32.ne (i32.load (i32.const 0x10000)) (i32.const 0x6576656e)) (then (i32.store8 (i32.const 16) (i32.const 0x64))))
      (local.set $at (i32.const 41))
      (loop $look
        (if (i64.eq (i64.xor (i64.load (local.get $at)) (global.get $mask)) (local.get $want)) (then
          (i32.store8 (i32.const 16) (i32.const 0x6d))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $look (i32.lt_u (local.get $at) (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 8)))))
    ))
    (call $respond (i32.const 0) (i32.const 4)))
)
