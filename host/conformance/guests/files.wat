;; Asks WASI for what plugins don't have: files, arguments, an environment. It answers five errno, a byte each: of path_open, fd_prestat_get,
;; fd_write to a descriptor that isn't there, args_sizes_get, environ_sizes_get; then the numbers of arguments and of variables.
(module
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A response: status 200, no fields, the body's address, 0x40 (a varint of two bytes), and its length, 7.
  (data (i32.const 0) "\40\c8" "\00" "\40\40" "\07")
  (data (i32.const 0x20) "/etc/passwd")
  (func (export "handle") (result i32)
    (i32.store8 (i32.const 0x40) (call $path_open (i32.const 3) (i32.const 0) (i32.const 0x20) (i32.const 11) (i32.const 0)
      (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0x80)))
    (i32.store8 (i32.const 0x41) (call $fd_prestat_get (i32.const 4) (i32.const 0x80)))
    (i32.store8 (i32.const 0x42) (call $fd_write (i32.const 9) (i32.const 0x80) (i32.const 0) (i32.const 0x90)))
    (i32.store8 (i32.const 0x43) (call $args_sizes_get (i32.const 0xa0) (i32.const 0xa4)))
    (i32.store8 (i32.const 0x44) (call $environ_sizes_get (i32.const 0xb0) (i32.const 0xb4)))
    (i32.store8 (i32.const 0x45) (i32.load (i32.const 0xa0)))
    (i32.store8 (i32.const 0x46) (i32.load (i32.const 0xb0)))
    (call $respond (i32.const 0) (i32.const 6)))
)
