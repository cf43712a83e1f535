;; A guest that makes whatever calls it is told to. Its request's body is a program: two bytes with its length, then operations; what follows
;; the program in the body is left for the program to read. wat_fuzz_test.go writes programs, and lets the fuzzer write them.
;;
;;   0x00 …       a call: the function's index in the table below, then its arguments, little-endian, of four or eight bytes each
;;   0xf0 d n …   fill: the n (u16) bytes that follow go to address d (u32)
;;   0xf1 d       keep: the last result goes to address d (u32) as an i32
;;   0xf2 n t     back: n (u16) bytes back in the program, t (u8) times
;;   0xf3 n t     again: the same, but only if the last result was EAGAIN
;;   0xf4 i       use: the next call's parameter i (u8) is the last result
;;   0xf5 v       end: handle returns v (u8)
;;
;; Another operation is the call of that index modulo their number; the program's end is "end 0". Addresses and jumps are cut to what there
;; is. At most 300 calls are made.
;;
;; Around each call it looks after itself, and if the host has done what it must never do it fails with "guard: " and why:
;;
;;   wrote        a byte of the memory has changed that the call may not write
;;   outside      a range that isn't wholly inside the memory was accepted
;;   too much     more was read, written or told than was asked for
;;
;; With `config: {stream: true}` it asks to be entered before its request's body is there.
(module
  ;; Signatures: 0 to 17, as `kinds` lists them.
  (type $k0 (func (result i32)))
  (type $k1 (func (result i64)))
  (type $k2 (func (param i32)))
  (type $k3 (func (param i32) (result i32)))
  (type $k4 (func (param i32 i32) (result i32)))
  (type $k5 (func (param i32 i32 i32) (result i32)))
  (type $k6 (func (param i32 i32 i32 i32) (result i32)))
  (type $k7 (func (param i32 i32 i32 i32 i32) (result i32)))
  (type $k8 (func (param i32 i32 i32 i32 i32 i32) (result i32)))
  (type $k9 (func (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (type $k10 (func (param i32 i64 i32) (result i32)))
  (type $k11 (func (param i32 i64 i32 i32) (result i32)))
  (type $k12 (func (param i32 i64) (result i32)))
  (type $k13 (func (param i32 i64 i64) (result i32)))
  (type $k14 (func (param i32 i64 i64 i32) (result i32)))
  (type $k15 (func (param i32 i32 i32 i64 i32) (result i32)))
  (type $k16 (func (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (type $k17 (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))

  (import "sortie:host/v1" "request" (func $request (type $k4)))
  (import "sortie:host/v1" "read_request" (func $read_request (type $k4)))
  (import "sortie:host/v1" "respond" (func $respond (type $k4)))
  (import "sortie:host/v1" "fail" (func $fail (type $k4)))
  (import "sortie:host/v1" "log" (func $log (type $k5)))
  (import "sortie:host/v1" "config" (func $config (type $k6)))
  (import "sortie:host/v1" "send" (func $send (type $k4)))
  (import "sortie:host/v1" "group" (func $group (type $k4)))
  (import "sortie:host/v1" "wait" (func $wait (type $k15)))
  (import "sortie:host/v1" "head" (func $head (type $k5)))
  (import "sortie:host/v1" "body" (func $body (type $k5)))
  (import "sortie:host/v1" "quiet" (func $quiet (type $k3)))
  (import "sortie:host/v1" "outcomes" (func $outcomes (type $k5)))
  (import "sortie:host/v1" "cancel" (func $cancel (type $k3)))
  (import "sortie:host/v1" "drop" (func $drop (type $k3)))
  (import "sortie:host/v1" "open" (func $open (type $k4)))
  (import "sortie:host/v1" "open_group" (func $open_group (type $k4)))
  (import "sortie:host/v1" "read" (func $read (type $k5)))
  (import "sortie:host/v1" "read_error" (func $read_error (type $k5)))
  (import "sortie:host/v1" "write" (func $write (type $k5)))
  (import "sortie:host/v1" "finish" (func $finish (type $k3)))
  (import "sortie:host/v1" "stream_request" (func $stream_request (type $k0)))
  (import "sortie:host/v1" "open_request" (func $open_request (type $k0)))
  (import "sortie:host/v1" "begin" (func $begin (type $k4)))
  (import "sortie:host/v1" "time_left" (func $time_left (type $k1)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (type $k4)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (type $k4)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (type $k4)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (type $k4)))
  (import "wasi_snapshot_preview1" "clock_res_get" (func $clock_res_get (type $k4)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (type $k10)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (type $k4)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (type $k6)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (type $k2)))
  (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (type $k3)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (type $k0)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (type $k6)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (type $k6)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (type $k3)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fd_fdstat_get (type $k4)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_flags" (func $fd_fdstat_set_flags (type $k4)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_filestat_get (type $k4)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $fd_seek (type $k11)))
  (import "wasi_snapshot_preview1" "fd_tell" (func $fd_tell (type $k4)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $fd_sync (type $k3)))
  (import "wasi_snapshot_preview1" "fd_datasync" (func $fd_datasync (type $k3)))
  (import "wasi_snapshot_preview1" "fd_advise" (func $fd_advise (type $k14)))
  (import "wasi_snapshot_preview1" "fd_allocate" (func $fd_allocate (type $k13)))
  (import "wasi_snapshot_preview1" "fd_fdstat_set_rights" (func $fd_fdstat_set_rights (type $k13)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $fd_filestat_set_size (type $k12)))
  (import "wasi_snapshot_preview1" "fd_filestat_set_times" (func $fd_filestat_set_times (type $k14)))
  (import "wasi_snapshot_preview1" "fd_pread" (func $fd_pread (type $k15)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $fd_prestat_get (type $k4)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $fd_prestat_dir_name (type $k5)))
  (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (type $k15)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (type $k15)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $fd_renumber (type $k4)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $path_create_directory (type $k5)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $path_filestat_get (type $k7)))
  (import "wasi_snapshot_preview1" "path_filestat_set_times" (func $path_filestat_set_times (type $k16)))
  (import "wasi_snapshot_preview1" "path_link" (func $path_link (type $k9)))
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (type $k17)))
  (import "wasi_snapshot_preview1" "path_readlink" (func $path_readlink (type $k8)))
  (import "wasi_snapshot_preview1" "path_remove_directory" (func $path_remove_directory (type $k5)))
  (import "wasi_snapshot_preview1" "path_rename" (func $path_rename (type $k8)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $path_symlink (type $k7)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $path_unlink_file (type $k5)))
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (type $k5)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $sock_recv (type $k8)))
  (import "wasi_snapshot_preview1" "sock_send" (func $sock_send (type $k7)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (type $k4)))

  (table funcref (elem
    $request $read_request $respond $fail $log $config $send $group $wait $head $body $quiet $outcomes $cancel $drop $open $open_group $read
    $read_error $write $finish $stream_request $open_request $begin $time_left $args_get $args_sizes_get $environ_get $environ_sizes_get
    $clock_res_get $clock_time_get $random_get $poll_oneoff $proc_exit $proc_raise $sched_yield $fd_write $fd_read $fd_close
    $fd_fdstat_get $fd_fdstat_set_flags $fd_filestat_get $fd_seek $fd_tell $fd_sync $fd_datasync $fd_advise $fd_allocate
    $fd_fdstat_set_rights $fd_filestat_set_size $fd_filestat_set_times $fd_pread $fd_prestat_get $fd_prestat_dir_name $fd_pwrite
    $fd_readdir $fd_renumber $path_create_directory $path_filestat_get $path_filestat_set_times $path_link $path_open $path_readlink
    $path_remove_directory $path_rename $path_symlink $path_unlink_file $sock_accept $sock_recv $sock_send $sock_shutdown))

  ;; For each function of the table: its kind of signature, then what it may write (two ranges) and what it reads (two). A range is the
  ;; parameter that is its address, counted from 1, the one that is its length, 0 for a length of 1, and the unit of that: 0 to 6 are 1, 4, 8,
  ;; 24, 32, 48 and 64 bytes. With 0x80, the result is never more than the first range's length; with 0x40, it writes wherever vectors in the
  ;; memory tell it. These are passive segments: the host has no way to them.
  (data $functions
    "\04" "\12\00" "\00\00" "\00\00" "\00\00" ;; request
    "\84" "\12\00" "\00\00" "\00\00" "\00\00" ;; read_request
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; respond
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; fail
    "\05" "\00\00" "\00\00" "\23\00" "\00\00" ;; log
    "\06" "\34\00" "\00\00" "\12\00" "\00\00" ;; config
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; send
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; group
    "\8f" "\52\01" "\00\00" "\12\01" "\00\00" ;; wait
    "\05" "\23\00" "\00\00" "\00\00" "\00\00" ;; head
    "\85" "\23\00" "\00\00" "\00\00" "\00\00" ;; body
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; quiet
    "\85" "\23\00" "\00\00" "\00\00" "\00\00" ;; outcomes
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; cancel
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; drop
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; open
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; open_group
    "\85" "\23\00" "\00\00" "\00\00" "\00\00" ;; read
    "\05" "\23\00" "\00\00" "\00\00" "\00\00" ;; read_error
    "\85" "\00\00" "\00\00" "\23\00" "\00\00" ;; write
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; finish
    "\00" "\00\00" "\00\00" "\00\00" "\00\00" ;; stream_request
    "\00" "\00\00" "\00\00" "\00\00" "\00\00" ;; open_request
    "\04" "\00\00" "\00\00" "\12\00" "\00\00" ;; begin
    "\01" "\00\00" "\00\00" "\00\00" "\00\00" ;; time_left
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; args_get
    "\04" "\10\01" "\20\01" "\00\00" "\00\00" ;; args_sizes_get
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; environ_get
    "\04" "\10\01" "\20\01" "\00\00" "\00\00" ;; environ_sizes_get
    "\04" "\20\02" "\00\00" "\00\00" "\00\00" ;; clock_res_get
    "\0a" "\30\02" "\00\00" "\00\00" "\00\00" ;; clock_time_get
    "\04" "\12\00" "\00\00" "\00\00" "\00\00" ;; random_get
    "\06" "\23\04" "\40\01" "\13\05" "\00\00" ;; poll_oneoff
    "\02" "\00\00" "\00\00" "\00\00" "\00\00" ;; proc_exit
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; proc_raise
    "\00" "\00\00" "\00\00" "\00\00" "\00\00" ;; sched_yield
    "\06" "\40\01" "\00\00" "\23\02" "\00\00" ;; fd_write
    "\46" "\40\01" "\00\00" "\00\00" "\00\00" ;; fd_read
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_close
    "\04" "\20\03" "\00\00" "\00\00" "\00\00" ;; fd_fdstat_get
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_fdstat_set_flags
    "\04" "\20\06" "\00\00" "\00\00" "\00\00" ;; fd_filestat_get
    "\0b" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_seek
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_tell
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_sync
    "\03" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_datasync
    "\0e" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_advise
    "\0d" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_allocate
    "\0d" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_fdstat_set_rights
    "\0c" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_filestat_set_size
    "\0e" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_filestat_set_times
    "\0f" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_pread
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_prestat_get
    "\05" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_prestat_dir_name
    "\0f" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_pwrite
    "\0f" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_readdir
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; fd_renumber
    "\05" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_create_directory
    "\07" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_filestat_get
    "\10" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_filestat_set_times
    "\09" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_link
    "\11" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_open
    "\08" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_readlink
    "\05" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_remove_directory
    "\08" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_rename
    "\07" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_symlink
    "\05" "\00\00" "\00\00" "\00\00" "\00\00" ;; path_unlink_file
    "\05" "\00\00" "\00\00" "\00\00" "\00\00" ;; sock_accept
    "\08" "\00\00" "\00\00" "\00\00" "\00\00" ;; sock_recv
    "\07" "\00\00" "\00\00" "\00\00" "\00\00" ;; sock_send
    "\04" "\00\00" "\00\00" "\00\00" "\00\00" ;; sock_shutdown
  )
  ;; For each kind of signature: how many parameters, and which of them are i64, as bits.
  (data $kinds
    "\00\00" "\00\00" "\01\00" "\01\00" "\02\00" "\03\00" "\04\00" "\05\00" "\06\00" "\07\00"
    "\03\02" "\04\02" "\02\02" "\03\06" "\04\06" "\05\08" "\07\30" "\09\60")

  (memory (export "memory") 1 1)

  ;; Where things lie: 0x0000 the program's own; 0xc000 the program; 0xffe0 a row of the tables above.
  (data $stream "stream")

  (global $calls (mut i32) (i32.const 0))
  (global $pc (mut i32) (i32.const 0xc000))
  (global $end (mut i32) (i32.const 0xc000))
  (global $last (mut i64) (i64.const 0))
  (global $use (mut i32) (i32.const -1))
  (global $loops (mut i32) (i32.const 0))
  ;; The parameters of the call that is being made.
  (global $a0 (mut i64) (i64.const 0))
  (global $a1 (mut i64) (i64.const 0))
  (global $a2 (mut i64) (i64.const 0))
  (global $a3 (mut i64) (i64.const 0))
  (global $a4 (mut i64) (i64.const 0))
  (global $a5 (mut i64) (i64.const 0))
  (global $a6 (mut i64) (i64.const 0))
  (global $a7 (mut i64) (i64.const 0))
  (global $a8 (mut i64) (i64.const 0))
  ;; What it may write: from, to, from, to.
  (global $w0 (mut i32) (i32.const 0))
  (global $w1 (mut i32) (i32.const 0))
  (global $w2 (mut i32) (i32.const 0))
  (global $w3 (mut i32) (i32.const 0))
  (global $outside (mut i32) (i32.const 0)) ;; whether one of its ranges isn't inside the memory

  (func $i0 (result i32) (i32.wrap_i64 (global.get $a0)))
  (func $i1 (result i32) (i32.wrap_i64 (global.get $a1)))
  (func $l1 (result i64) (global.get $a1))
  (func $i2 (result i32) (i32.wrap_i64 (global.get $a2)))
  (func $l2 (result i64) (global.get $a2))
  (func $i3 (result i32) (i32.wrap_i64 (global.get $a3)))
  (func $l3 (result i64) (global.get $a3))
  (func $i4 (result i32) (i32.wrap_i64 (global.get $a4)))
  (func $l4 (result i64) (global.get $a4))
  (func $i5 (result i32) (i32.wrap_i64 (global.get $a5)))
  (func $l5 (result i64) (global.get $a5))
  (func $i6 (result i32) (i32.wrap_i64 (global.get $a6)))
  (func $l6 (result i64) (global.get $a6))
  (func $i7 (result i32) (i32.wrap_i64 (global.get $a7)))
  (func $i8 (result i32) (i32.wrap_i64 (global.get $a8)))

  (func $set (param $n i32) (param $v i64)
    (block $s8 (block $s7 (block $s6 (block $s5 (block $s4 (block $s3 (block $s2 (block $s1 (block $s0
      (br_table $s0 $s1 $s2 $s3 $s4 $s5 $s6 $s7 $s8 (local.get $n)))
      (global.set $a0 (local.get $v)) (return))
      (global.set $a1 (local.get $v)) (return))
      (global.set $a2 (local.get $v)) (return))
      (global.set $a3 (local.get $v)) (return))
      (global.set $a4 (local.get $v)) (return))
      (global.set $a5 (local.get $v)) (return))
      (global.set $a6 (local.get $v)) (return))
      (global.set $a7 (local.get $v)) (return))
      (global.set $a8 (local.get $v)) (return))

  (func $get (param $n i32) (result i64)
    (block $g8 (block $g7 (block $g6 (block $g5 (block $g4 (block $g3 (block $g2 (block $g1 (block $g0
      (br_table $g0 $g1 $g2 $g3 $g4 $g5 $g6 $g7 $g8 (local.get $n)))
      (return (global.get $a0)))
      (return (global.get $a1)))
      (return (global.get $a2)))
      (return (global.get $a3)))
      (return (global.get $a4)))
      (return (global.get $a5)))
      (return (global.get $a6)))
      (return (global.get $a7)))
      (return (global.get $a8)))

  ;; invoke makes the call of function f, whose signature is of that kind.
  (func $invoke (param $kind i32) (param $f i32) (result i64)
    (block $c17 (block $c16 (block $c15 (block $c14 (block $c13 (block $c12 (block $c11 (block $c10 (block $c9
    (block $c8 (block $c7 (block $c6 (block $c5 (block $c4 (block $c3 (block $c2 (block $c1 (block $c0
      (br_table $c0 $c1 $c2 $c3 $c4 $c5 $c6 $c7 $c8 $c9 $c10 $c11 $c12 $c13 $c14 $c15 $c16 $c17 (local.get $kind)))
      (return (i64.extend_i32_s (call_indirect (type $k0) (local.get $f)))))
      (return (call_indirect (type $k1) (local.get $f))))
      (call_indirect (type $k2) (call $i0) (local.get $f)) (return (i64.const 0)))
      (return (i64.extend_i32_s (call_indirect (type $k3) (call $i0) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k4) (call $i0) (call $i1) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k5) (call $i0) (call $i1) (call $i2) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k6) (call $i0) (call $i1) (call $i2) (call $i3) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k7) (call $i0) (call $i1) (call $i2) (call $i3) (call $i4) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k8) (call $i0) (call $i1) (call $i2) (call $i3) (call $i4) (call $i5) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k9) (call $i0) (call $i1) (call $i2) (call $i3) (call $i4) (call $i5) (call $i6)
        (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k10) (call $i0) (call $l1) (call $i2) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k11) (call $i0) (call $l1) (call $i2) (call $i3) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k12) (call $i0) (call $l1) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k13) (call $i0) (call $l1) (call $l2) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k14) (call $i0) (call $l1) (call $l2) (call $i3) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k15) (call $i0) (call $i1) (call $i2) (call $l3) (call $i4) (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k16) (call $i0) (call $i1) (call $i2) (call $i3) (call $l4) (call $l5) (call $i6)
        (local.get $f)))))
      (return (i64.extend_i32_s (call_indirect (type $k17)
        (call $i0) (call $i1) (call $i2) (call $i3)
        (call $i4) (call $l5) (call $l6) (call $i7) (call $i8) (local.get $f)))))

  ;; take reads n bytes of the program, little-endian; behind its end there are zeros.
  (func $take (param $n i32) (result i64)
    (local $v i64) (local $i i32)
    (loop $more
      (if (i32.lt_u (global.get $pc) (global.get $end)) (then
        (local.set $v (i64.or (local.get $v)
          (i64.shl (i64.load8_u (global.get $pc)) (i64.extend_i32_u (i32.shl (local.get $i) (i32.const 3))))))
        (global.set $pc (i32.add (global.get $pc) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $v))

  (func $take32 (param $n i32) (result i32) (i32.wrap_i64 (call $take (local.get $n))))

  ;; The guard -------------------------------------------------------------------------------------------------------------------------

  (func $unit (param $code i32) (result i64)
    (block $u6 (block $u5 (block $u4 (block $u3 (block $u2 (block $u1 (block $u0
      (br_table $u0 $u1 $u2 $u3 $u4 $u5 $u6 (local.get $code)))
      (return (i64.const 1)))
      (return (i64.const 4)))
      (return (i64.const 8)))
      (return (i64.const 24)))
      (return (i64.const 32)))
      (return (i64.const 48)))
    (i64.const 64))

  ;; range is where range i (0 to 3) of the row lies. One that isn't wholly inside is empty: nothing of it may be written.
  (func $range (param $i i32) (result i32 i32)
    (local $at i32) (local $param i32) (local $from i64) (local $size i64)
    (local.set $at (i32.add (i32.const 0xffe1) (i32.shl (local.get $i) (i32.const 1))))
    (local.set $param (i32.load8_u (local.get $at)))
    (if (i32.eqz (local.get $param)) (then (return (i32.const 0) (i32.const 0))))
    (local.set $from (i64.and (call $get (i32.sub (i32.shr_u (local.get $param) (i32.const 4)) (i32.const 1))) (i64.const 0xffffffff)))
    (local.set $size (call $length (i32.and (local.get $param) (i32.const 15))))
    (local.set $size (i64.mul (local.get $size) (call $unit (i32.load8_u offset=1 (local.get $at)))))
    (if (i64.gt_u (i64.add (local.get $from) (local.get $size)) (i64.const 0x10000)) (then
      (global.set $outside (i32.const 1))
      (return (i32.const 0) (i32.const 0))))
    (i32.wrap_i64 (local.get $from))
    (i32.wrap_i64 (i64.add (local.get $from) (local.get $size))))

  (func $length (param $n i32) (result i64)
    (if (i32.eqz (local.get $n)) (then (return (i64.const 1))))
    (i64.and (call $get (i32.sub (local.get $n) (i32.const 1))) (i64.const 0xffffffff)))

  ;; look notes what the call may write, the lower range first, and whether a range is outside.
  (func $look
    (local $swap i32)
    (global.set $outside (i32.const 0))
    (call $range (i32.const 0))
    (global.set $w1)
    (global.set $w0)
    (call $range (i32.const 1))
    (global.set $w3)
    (global.set $w2)
    (call $range (i32.const 2))
    (drop)
    (drop)
    (call $range (i32.const 3))
    (drop)
    (drop)
    (if (i32.lt_u (global.get $w2) (global.get $w0)) (then
      (local.set $swap (global.get $w0))
      (global.set $w0 (global.get $w2))
      (global.set $w2 (local.get $swap))
      (local.set $swap (global.get $w1))
      (global.set $w1 (global.get $w3))
      (global.set $w3 (local.get $swap)))))

  ;; sum goes on with a checksum over a part of the memory. A single byte that changes, changes it.
  (func $sum (param $h i64) (param $from i32) (param $to i32) (result i64)
    (loop $words
      (if (i32.le_u (i32.add (local.get $from) (i32.const 32)) (local.get $to)) (then
        (local.set $h (i64.mul (i64.const 0x9e3779b97f4a7c15) (i64.xor
          (i64.xor (i64.rotl (local.get $h) (i64.const 7)) (i64.load (local.get $from)))
          (i64.xor (i64.rotl (i64.load offset=8 (local.get $from)) (i64.const 13))
            (i64.xor (i64.rotl (i64.load offset=16 (local.get $from)) (i64.const 29))
              (i64.rotl (i64.load offset=24 (local.get $from)) (i64.const 47)))))))
        (local.set $from (i32.add (local.get $from) (i32.const 32)))
        (br $words))))
    (loop $bytes
      (if (i32.lt_u (local.get $from) (local.get $to)) (then
        (local.set $h (i64.mul (i64.const 0x9e3779b97f4a7c15) (i64.xor (local.get $h) (i64.load8_u (local.get $from)))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $bytes))))
    (local.get $h))

  ;; print is the checksum over all that the call may not write.
  (func $print (result i64)
    (local $h i64) (local $from i32)
    (local.set $h (call $sum (i64.const 1) (i32.const 0) (global.get $w0)))
    (local.set $from (global.get $w1))
    (local.set $h (call $sum (local.get $h) (local.get $from) (global.get $w2)))
    (if (i32.gt_u (global.get $w3) (local.get $from)) (then (local.set $from (global.get $w3))))
    (call $sum (local.get $h) (local.get $from) (i32.const 0x10000)))

  ;; accuse fails the invocation with "guard: " and eight letters.
  (func $accuse (param $what i64)
    (i64.store (i32.const 0) (i64.const 0x203a6472617567)) ;; "guard: "
    (i64.store (i32.const 7) (local.get $what))
    (drop (call $log (i32.const 8) (i32.const 0) (i32.const 15)))
    (drop (call $fail (i32.const 0) (i32.const 15)))
    (call $proc_exit (i32.const 1))
    (unreachable))

  ;; The operations --------------------------------------------------------------------------------------------------------------------

  (func $call (param $f i32)
    (local $row i32) (local $kind i32) (local $before i64)
    (if (i32.eq (global.get $calls) (i32.const 300)) (then (global.set $pc (global.get $end)) (return)))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (memory.init $functions (i32.const 0xffe0) (i32.mul (local.get $f) (i32.const 9)) (i32.const 9))
    (local.set $row (i32.load8_u (i32.const 0xffe0)))
    (local.set $kind (i32.and (local.get $row) (i32.const 0x1f)))
    (memory.init $kinds (i32.const 0xffea) (i32.shl (local.get $kind) (i32.const 1)) (i32.const 2))
    (call $parameters (i32.load8_u (i32.const 0xffea)) (i32.load8_u (i32.const 0xffeb)))
    (call $look)
    (if (i32.eqz (i32.and (local.get $row) (i32.const 0x40))) (then (local.set $before (call $print))))
    (global.set $last (call $invoke (local.get $kind) (local.get $f)))
    (if (i32.eqz (i32.and (local.get $row) (i32.const 0x40))) (then
      (if (i64.ne (call $print) (local.get $before)) (then (call $accuse (i64.const 0x65746f7277))))))         ;; "wrote"
    (if (i32.and (global.get $outside) (call $succeeded (local.get $f))) (then
      (call $accuse (i64.const 0x6564697374756f))))                                                            ;; "outside"
    (if (i32.and (i32.shr_u (local.get $row) (i32.const 7)) (call $exceeds (local.get $f))) (then
      (call $accuse (i64.const 0x6863756d206f6f74)))))                                                         ;; "too much"

  (func $parameters (param $n i32) (param $wide i32)
    (local $i i32) (local $v i64)
    (loop $more
      (if (i32.lt_u (local.get $i) (local.get $n)) (then
        (local.set $v (call $take
          (select (i32.const 8) (i32.const 4) (i32.and (i32.shr_u (local.get $wide) (local.get $i)) (i32.const 1)))))
        (if (i32.eq (global.get $use) (local.get $i)) (then (local.set $v (global.get $last))))
        (call $set (local.get $i) (local.get $v))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $more))))
    (global.set $use (i32.const -1)))

  ;; succeeded tells whether the last result is none of the errors: below 0 in the first functions, anything but 0 in WASI's.
  (func $succeeded (param $f i32) (result i32)
    (if (result i32) (i32.lt_u (local.get $f) (i32.const 25))
      (then (i64.ge_s (global.get $last) (i64.const 0)))
      (else (i64.eqz (global.get $last)))))

  ;; exceeds tells whether the result is more than the length of the first range that there is: the first two of the row are written, the
  ;; third is read. The row may have been overwritten by the call, so it is taken anew.
  (func $exceeds (param $f i32) (result i32)
    (local $param i32)
    (if (i32.eqz (call $succeeded (local.get $f))) (then (return (i32.const 0))))
    (memory.init $functions (i32.const 0xffe0) (i32.mul (local.get $f) (i32.const 9)) (i32.const 9))
    (local.set $param (i32.load8_u (i32.const 0xffe1)))
    (if (i32.eqz (local.get $param)) (then (local.set $param (i32.load8_u (i32.const 0xffe5)))))
    (i64.gt_u (global.get $last) (call $length (i32.and (local.get $param) (i32.const 15)))))

  (func $fill
    (local $to i32) (local $n i32)
    (local.set $to (i32.and (call $take32 (i32.const 4)) (i32.const 0xffff)))
    (local.set $n (call $least (call $take32 (i32.const 2)) (i32.sub (global.get $end) (global.get $pc))))
    (memory.copy (local.get $to) (global.get $pc) (call $least (local.get $n) (i32.sub (i32.const 0x10000) (local.get $to))))
    (global.set $pc (i32.add (global.get $pc) (local.get $n))))

  (func $least (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.lt_u (local.get $a) (local.get $b))))

  (func $keep (i32.store (i32.and (call $take32 (i32.const 4)) (i32.const 0xfffc)) (i32.wrap_i64 (global.get $last))))

  ;; back jumps, unless it has done so often enough or isn't to.
  (func $back (param $if i32)
    (local $n i32)
    (local.set $n (call $least (call $take32 (i32.const 2)) (i32.sub (global.get $pc) (i32.const 0xc000))))
    (if (i32.and (local.get $if) (i32.lt_u (global.get $loops) (call $take32 (i32.const 1))))
      (then
        (global.set $loops (i32.add (global.get $loops) (i32.const 1)))
        (global.set $calls (call $least (i32.const 300) (i32.add (global.get $calls) (i32.const 1)))) ;; a loop without calls ends, too
        (if (i32.lt_u (global.get $calls) (i32.const 300)) (then (global.set $pc (i32.sub (global.get $pc) (local.get $n))))))
      (else (global.set $loops (i32.const 0)))))

  ;; run executes the program, and returns what handle does.
  (func $run (result i32)
    (local $op i32)
    (loop $next
      (if (i32.ge_u (global.get $pc) (global.get $end)) (then (return (i32.const 0))))
      (local.set $op (call $take32 (i32.const 1)))
      (block $end (block $use (block $again (block $back (block $keep (block $fill (block $call
        (br_table $fill $keep $back $again $use $end $call (i32.sub (local.get $op) (i32.const 0xf0))))
        (call $call (i32.rem_u (local.get $op) (i32.const 71)))
        (br $next))
        (call $fill)
        (br $next))
        (call $keep)
        (br $next))
        (call $back (i32.const 1))
        (br $next))
        (call $back (i64.eq (global.get $last) (i64.const -4)))
        (br $next))
        (global.set $use (call $take32 (i32.const 1)))
        (br $next))
      (return (call $take32 (i32.const 1))))
    (unreachable))

  ;; receive reads bytes of the program until its end is there. A body that comes in pieces is waited for by its handle.
  (func $receive (param $end i32)
    (local $n i32) (local $handle i32)
    (loop $more
      (if (i32.ge_u (global.get $end) (local.get $end)) (then (return)))
      (local.set $n (call $read_request (global.get $end) (i32.sub (local.get $end) (global.get $end))))
      (if (i32.gt_s (local.get $n) (i32.const 0)) (then
        (global.set $end (i32.add (global.get $end) (local.get $n)))
        (br $more)))
      (if (i32.ne (local.get $n) (i32.const -4)) (then (return)))
      (local.set $handle (call $open_request))
      (if (i32.gt_s (local.get $handle) (i32.const 0)) (then (i32.store (i32.const 0) (local.get $handle))))
      (drop (call $wait (i32.const 0) (i32.const 1) (i32.const 0) (i64.const -1) (i32.const 8)))
      (br $more)))

  (func (export "handle") (result i32)
    (call $receive (i32.const 0xc002))
    (call $receive (i32.add (i32.const 0xc002) (call $least (i32.load16_u (i32.const 0xc000)) (i32.const 0x3f00))))
    (global.set $pc (call $least (i32.const 0xc002) (global.get $end)))
    (call $run))

  (func (export "_initialize")
    (memory.init $stream (i32.const 0) (i32.const 0) (i32.const 6))
    (if (i32.gt_s (call $config (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0)) (i32.const 0)) (then
      (drop (call $stream_request)))))
)
