;; poll fetches the URL that is its request's body (less than 64 bytes), and asks again and again whether that has settled, without ever waiting.
;; Then it answers, with nothing.
(module
  (import "sortie:host/v1" "read_request" (func $read_request (param i32 i32) (result i32)))
  (import "sortie:host/v1" "send" (func $send (param i32 i32) (result i32)))
  (import "sortie:host/v1" "wait" (func $wait (param i32 i32 i32 i64 i32) (result i32)))
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Status 204, no fields, no body.
  (data (i32.const 0x200) "\40\cc\00\00\00")
  (func (export "handle") (result i32)
    (local $n i32)
    ;; A fetch without a method: its URL, and zeros from the fields to the body's length.
    (local.set $n (call $read_request (i32.const 2) (i32.const 63)))
    (i32.store8 (i32.const 1) (local.get $n))
    (i32.store (i32.const 0x100) (call $send (i32.const 0) (i32.add (local.get $n) (i32.const 11))))
    (loop $again
      (br_if $again (i32.eqz (call $wait (i32.const 0x100) (i32.const 1) (i32.const 1) (i64.const 0) (i32.const 0x104)))))
    (call $respond (i32.const 0x200) (i32.const 5)))
)
