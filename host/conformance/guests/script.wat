;; An HTTP plugin that does what a program says: a list of calls to the functions of host/ABI.md, whose results it answers. So a vector is data, and
;; what is tested is the host's functions themselves.
;;
;; The program is the value of the configuration key that equals the request's path, else of "/": a JSON string of hexadecimal digits. It lies
;; at 0x10000 when it runs, and whatever it points to lies behind it. Instructions are eight little-endian u32:
;;
;;   function · register for the result · which arguments are registers, a bit each · five arguments
;;
;; Functions are numbered as the table at the end has them; 0 ends the program with its first argument for the entry's result. There are 64
;; registers. The answer is gathered as records, each a kind u8, a length u32, and so many bytes; see host/conformance/README.md.
;;
;; The configuration key "start" picks what _initialize does: 1 calls stream_request, 2 traps, 3 never ends, 4 prints a line.
(module
  (import "sortie:host/v1" "request" (func $request (param i32 i32) (result i32)))
  (import "sortie:host/v1" "read_request" (func $read_request (param i32 i32) (result i32)))
  (import "sortie:host/v1" "respond" (func $respond (param i32 i32) (result i32)))
  (import "sortie:host/v1" "fail" (func $fail (param i32 i32) (result i32)))
  (import "sortie:host/v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "config" (func $config (param i32 i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "send" (func $send (param i32 i32) (result i32)))
  (import "sortie:host/v1" "group" (func $group (param i32 i32) (result i32)))
  (import "sortie:host/v1" "wait" (func $wait (param i32 i32 i32 i64 i32) (result i32)))
  (import "sortie:host/v1" "head" (func $head (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "body" (func $body (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "quiet" (func $quiet (param i32) (result i32)))
  (import "sortie:host/v1" "outcomes" (func $outcomes (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "cancel" (func $cancel (param i32) (result i32)))
  (import "sortie:host/v1" "drop" (func $drop (param i32) (result i32)))
  (import "sortie:host/v1" "open" (func $open (param i32 i32) (result i32)))
  (import "sortie:host/v1" "open_group" (func $open_group (param i32 i32) (result i32)))
  (import "sortie:host/v1" "read" (func $read (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "read_error" (func $read_error (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "write" (func $write (param i32 i32 i32) (result i32)))
  (import "sortie:host/v1" "finish" (func $finish (param i32) (result i32)))
  (import "sortie:host/v1" "stream_request" (func $stream_request (result i32)))
  (import "sortie:host/v1" "open_request" (func $open_request (result i32)))
  (import "sortie:host/v1" "begin" (func $begin (param i32 i32) (result i32)))
  (import "sortie:host/v1" "time_left" (func $time_left (result i64)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0x000000  constants, below
  ;; 0x000100  an array of handles for wait, and at 0x000180 the one that it fills
  ;; 0x000200  the response's head
  ;; 0x000400  a word that nothing else uses: invocations can leave something here for those that follow
  ;; 0x001000  the registers
  ;; 0x010000  the program
  ;; 0x040000  the configuration's value, then the request's head
  ;; 0x0c0000  room for what calls read
  ;; 0x100000  the answer, to the end
  (memory (export "memory") 32)
  (data (i32.const 0x000) "start")
  (data (i32.const 0x010) "/")
  (data (i32.const 0x020) "started\n")

  (type $function (func (param i32 i32 i32 i32 i32) (result i32)))
  (global $pc (mut i32) (i32.const 0))
  (global $in (mut i32) (i32.const 0))           ;; where the next varint is read
  (global $to (mut i32) (i32.const 0x100000))    ;; the answer's end
  (global $kept (export "kept") (mut i32) (i32.const 0)) ;; as the word at 0x400, for globals

  ;; varint reads one (RFC 9000, section 16).
  (func $varint (result i32)
    (local $v i64) (local $n i32)
    (local.set $v (i64.load8_u (global.get $in)))
    (local.set $n (i32.shl (i32.const 1) (i32.wrap_i64 (i64.shr_u (local.get $v) (i64.const 6)))))
    (local.set $v (i64.and (local.get $v) (i64.const 0x3f)))
    (loop $more
      (global.set $in (i32.add (global.get $in) (i32.const 1)))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (if (local.get $n) (then
        (local.set $v (i64.or (i64.shl (local.get $v) (i64.const 8)) (i64.load8_u (global.get $in))))
        (br $more))))
    (i32.wrap_i64 (local.get $v)))

  (func $digit (param $c i32) (result i32)
    (if (result i32) (i32.ge_u (local.get $c) (i32.const 0x61))
      (then (i32.sub (local.get $c) (i32.const 0x57)))
      (else (i32.sub (local.get $c) (i32.const 0x30)))))

  ;; load brings the program of the request's path to 0x10000.
  (func $load
    (local $n i32) (local $from i32) (local $to i32)
    (if (i32.lt_s (call $request (i32.const 0x40000) (i32.const 0x80000)) (i32.const 0)) (then (unreachable)))
    (global.set $in (i32.const 0x40000))
    (global.set $in (i32.add (call $varint) (global.get $in))) ;; the method: the varint's end is where it begins
    (local.set $n (call $varint))
    (local.set $n (call $config (global.get $in) (local.get $n) (i32.const 0x40000) (i32.const 0x80000)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then
      (local.set $n (call $config (i32.const 0x10) (i32.const 1) (i32.const 0x40000) (i32.const 0x80000)))))
    (if (i32.lt_s (local.get $n) (i32.const 2)) (then (unreachable)))
    (local.set $from (i32.const 0x40001)) ;; behind the quotation mark
    (local.set $to (i32.const 0x10000))
    (local.set $n (i32.add (i32.const 0x10000) (i32.shr_u (i32.sub (local.get $n) (i32.const 2)) (i32.const 1))))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $to) (local.get $n)))
      (i32.store8 (local.get $to) (i32.or
        (i32.shl (call $digit (i32.load8_u (local.get $from))) (i32.const 4))
        (call $digit (i32.load8_u offset=1 (local.get $from)))))
      (local.set $from (i32.add (local.get $from) (i32.const 2)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $more))))

  ;; argument is the i-th of the instruction at pc.
  (func $argument (param $i i32) (result i32)
    (local $v i32)
    (local.set $v (i32.load offset=12 (i32.add (global.get $pc) (i32.shl (local.get $i) (i32.const 2)))))
    (if (i32.and (i32.shr_u (i32.load offset=8 (global.get $pc)) (local.get $i)) (i32.const 1)) (then
      (local.set $v (i32.load offset=0x1000 (i32.shl (local.get $v) (i32.const 2))))))
    (local.get $v))

  (func (export "handle") (result i32)
    (local $register i32)
    (call $load)
    (global.set $to (i32.const 0x100000))
    (global.set $pc (i32.const 0x10000))
    (loop $next
      (if (i32.eqz (i32.load (global.get $pc))) (then (return (call $argument (i32.const 0)))))
      (local.set $register (i32.shl (i32.load offset=4 (global.get $pc)) (i32.const 2)))
      (i32.store offset=0x1000 (local.get $register)
        (call_indirect (type $function)
          (call $argument (i32.const 0)) (call $argument (i32.const 1)) (call $argument (i32.const 2))
          (call $argument (i32.const 3)) (call $argument (i32.const 4))
          (i32.load (global.get $pc))))
      (global.set $pc (i32.add (global.get $pc) (i32.const 32)))
      (br $next))
    (unreachable))

  (func (export "_initialize")
    (local $c i32)
    (if (i32.ne (call $config (i32.const 0) (i32.const 5) (i32.const 0x40000) (i32.const 1)) (i32.const 1)) (then (return)))
    (local.set $c (i32.load8_u (i32.const 0x40000)))
    (if (i32.eq (local.get $c) (i32.const 0x31)) (then (drop (call $stream_request))))
    (if (i32.eq (local.get $c) (i32.const 0x32)) (then (unreachable)))
    (if (i32.eq (local.get $c) (i32.const 0x33)) (then (loop $ever (br $ever))))
    (if (i32.eq (local.get $c) (i32.const 0x34)) (then
      (i32.store (i32.const 0x100) (i32.const 0x20))
      (i32.store (i32.const 0x104) (i32.const 8))
      (drop (call $fd_write (i32.const 1) (i32.const 0x100) (i32.const 1) (i32.const 0x108))))))

  ;; The host's functions as the table wants them: five parameters, one result -----------------------------------------------------------
  (func $f_request (type $function) (call $request (local.get 0) (local.get 1)))
  (func $f_read_request (type $function) (call $read_request (local.get 0) (local.get 1)))
  (func $f_respond (type $function) (call $respond (local.get 0) (local.get 1)))
  (func $f_fail (type $function) (call $fail (local.get 0) (local.get 1)))
  (func $f_log (type $function) (call $log (local.get 0) (local.get 1) (local.get 2)))
  (func $f_config (type $function) (call $config (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $f_send (type $function) (call $send (local.get 0) (local.get 1)))
  (func $f_group (type $function) (call $group (local.get 0) (local.get 1)))
  ;; wait's timeout is in milliseconds here.
  (func $f_wait (type $function) (call $wait (local.get 0) (local.get 1) (local.get 2)
    (i64.mul (i64.extend_i32_s (local.get 3)) (i64.const 1000000)) (local.get 4)))
  (func $f_head (type $function) (call $head (local.get 0) (local.get 1) (local.get 2)))
  (func $f_body (type $function) (call $body (local.get 0) (local.get 1) (local.get 2)))
  (func $f_quiet (type $function) (call $quiet (local.get 0)))
  (func $f_outcomes (type $function) (call $outcomes (local.get 0) (local.get 1) (local.get 2)))
  (func $f_cancel (type $function) (call $cancel (local.get 0)))
  (func $f_drop (type $function) (call $drop (local.get 0)))
  (func $f_open (type $function) (call $open (local.get 0) (local.get 1)))
  (func $f_open_group (type $function) (call $open_group (local.get 0) (local.get 1)))
  (func $f_read (type $function) (call $read (local.get 0) (local.get 1) (local.get 2)))
  (func $f_read_error (type $function) (call $read_error (local.get 0) (local.get 1) (local.get 2)))
  (func $f_write (type $function) (call $write (local.get 0) (local.get 1) (local.get 2)))
  (func $f_finish (type $function) (call $finish (local.get 0)))
  (func $f_stream_request (type $function) (call $stream_request))
  (func $f_open_request (type $function) (call $open_request))
  (func $f_begin (type $function) (call $begin (local.get 0) (local.get 1)))
  ;; time_left is in milliseconds here, rounded up.
  (func $f_time_left (type $function)
    (i32.wrap_i64 (i64.div_s (i64.add (call $time_left) (i64.const 999999)) (i64.const 1000000))))
  (func $f_fd_write (type $function) (call $fd_write (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $f_fd_read (type $function) (call $fd_read (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $f_poll_oneoff (type $function) (call $poll_oneoff (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func $f_random_get (type $function) (call $random_get (local.get 0) (local.get 1)))
  (func $f_clock_time_get (type $function) (call $clock_time_get (local.get 0) (i64.const 1) (local.get 1)))
  (func $f_proc_exit (type $function) (call $proc_exit (local.get 0)) (unreachable))

  ;; What a program needs beside them ----------------------------------------------------------------------------------------------------

  ;; emit (kind, address, length) appends a record to the answer; a length below 0 is an errno, and becomes a number's record.
  (func $emit (type $function)
    (if (i32.lt_s (local.get 2) (i32.const 0)) (then
      (return (call $emit_number (local.get 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (i32.store8 (global.get $to) (local.get 0))
    (i32.store offset=1 (global.get $to) (local.get 2))
    (memory.copy (i32.add (global.get $to) (i32.const 5)) (local.get 1) (local.get 2))
    (global.set $to (i32.add (global.get $to) (i32.add (local.get 2) (i32.const 5))))
    (i32.const 0))

  ;; emit_number (value) appends a record of kind 1.
  (func $emit_number (type $function)
    (i32.store8 (global.get $to) (i32.const 1))
    (i32.store offset=1 (global.get $to) (i32.const 4))
    (i32.store offset=5 (global.get $to) (local.get 0))
    (global.set $to (i32.add (global.get $to) (i32.const 9)))
    (i32.const 0))

  ;; jump (a, comparison, b, address) goes on at the address if a and b compare so: 0 ==, 1 !=, 2 < (signed), 3 >=.
  (func $jump (type $function)
    (local $so i32)
    (block $compared
      (local.set $so (i32.eq (local.get 0) (local.get 2)))
      (br_if $compared (i32.eqz (local.get 1)))
      (local.set $so (i32.eqz (local.get $so)))
      (br_if $compared (i32.eq (local.get 1) (i32.const 1)))
      (local.set $so (i32.lt_s (local.get 0) (local.get 2)))
      (br_if $compared (i32.eq (local.get 1) (i32.const 2)))
      (local.set $so (i32.eqz (local.get $so))))
    (if (local.get $so) (then (global.set $pc (i32.sub (local.get 3) (i32.const 32)))))
    (local.get $so))

  ;; await (handle) waits for one handle, however long it takes.
  (func $await (type $function)
    (i32.store (i32.const 0x100) (local.get 0))
    (call $wait (i32.const 0x100) (i32.const 1) (i32.const 0) (i64.const -1) (i32.const 0x180)))

  ;; put writes a number below 2^30 as a varint of four bytes.
  (func $put (param $at i32) (param $v i32)
    (i32.store8 (local.get $at) (i32.or (i32.const 0x80) (i32.shr_u (local.get $v) (i32.const 24))))
    (i32.store8 offset=1 (local.get $at) (i32.shr_u (local.get $v) (i32.const 16)))
    (i32.store8 offset=2 (local.get $at) (i32.shr_u (local.get $v) (i32.const 8)))
    (i32.store8 offset=3 (local.get $at) (local.get $v)))

  ;; answer (status) gives what was gathered as the response, without fields.
  (func $answer (type $function)
    (call $put (i32.const 0x200) (local.get 0))
    (i32.store8 (i32.const 0x204) (i32.const 0))
    (call $put (i32.const 0x205) (i32.const 0x100000))
    (call $put (i32.const 0x209) (i32.sub (global.get $to) (i32.const 0x100000)))
    (call $respond (i32.const 0x200) (i32.const 13)))

  ;; write_all (handle, address, length) writes to a stream, waiting as often as it has no room; 0, or an errno.
  (func $write_all (type $function)
    (local $n i32)
    (loop $more
      (if (i32.eqz (local.get 2)) (then (return (i32.const 0))))
      (local.set $n (call $write (local.get 0) (local.get 1) (local.get 2)))
      (if (i32.eq (local.get $n) (i32.const -4)) (then
        (drop (call $await (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $more)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (local.set 1 (i32.add (local.get 1) (local.get $n)))
      (local.set 2 (i32.sub (local.get 2) (local.get $n)))
      (br $more))
    (unreachable))

  ;; told has the host know that the guest knows the handle's head: from there on it is ready only when there is something to read.
  (func $told (param $handle i32) (drop (call $head (local.get $handle) (i32.const 0) (i32.const 0))))

  ;; read_all (handle, address, room) reads a stream to its end, waiting as often as it has nothing; the length, or an errno.
  (func $read_all (type $function)
    (local $n i32) (local $all i32)
    (call $told (local.get 0))
    (loop $more
      (local.set $n (call $read (local.get 0) (i32.add (local.get 1) (local.get $all)) (i32.sub (local.get 2) (local.get $all))))
      (if (i32.eq (local.get $n) (i32.const -4)) (then
        (drop (call $await (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $more)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (local.set $all (i32.add (local.get $all) (local.get $n)))
      (br_if $more (local.get $n)))
    (local.get $all))

  ;; copy (from, to) moves a stream's bytes into another to the end; 0, or an errno. It goes through the last page of the room.
  (func $copy (type $function)
    (local $n i32)
    (call $told (local.get 0))
    (loop $more
      (local.set $n (call $read (local.get 0) (i32.const 0xf0000) (i32.const 0x10000)))
      (if (i32.eq (local.get $n) (i32.const -4)) (then
        (drop (call $await (local.get 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
        (br $more)))
      (if (i32.le_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (local.set $n (call $write_all (local.get 1) (i32.const 0xf0000) (local.get $n) (i32.const 0) (i32.const 0)))
      (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
      (br $more))
    (unreachable))

  (func $add (type $function) (i32.add (local.get 0) (local.get 1)))
  (func $load_word (type $function) (i32.load (local.get 0)))
  (func $store_word (type $function) (i32.store (local.get 0) (local.get 1)) (i32.const 0))
  (func $get_kept (type $function) (global.get $kept))
  (func $set_kept (type $function) (global.set $kept (local.get 0)) (i32.const 0))
  ;; fill (address, length, byte) and grow (pages): what the memory's instructions do.
  (func $fill (type $function) (memory.fill (local.get 0) (local.get 2) (local.get 1)) (i32.const 0))
  (func $grow (type $function) (memory.grow (local.get 0)))
  (func $size (type $function) (memory.size))

  ;; Ways to fail ------------------------------------------------------------------------------------------------------------------------
  (func $spin (type $function) (loop $ever (br $ever)) (unreachable))
  (func $trap (type $function) (unreachable))
  (func $divide (type $function) (i32.div_u (local.get 0) (local.get 1)))
  (func $recurse (type $function)
    (i32.add (i32.const 1) (call $recurse (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))

  (table funcref (elem $trap
    (; 1 ;) $f_request $f_read_request $f_respond $f_fail $f_log $f_config
    (; 7 ;) $f_send $f_group $f_wait $f_head $f_body $f_quiet $f_outcomes $f_cancel $f_drop
    (; 16 ;) $f_open $f_open_group $f_read $f_read_error $f_write $f_finish $f_stream_request $f_open_request $f_begin $f_time_left
    (; 26 ;) $f_fd_write $f_fd_read $f_poll_oneoff $f_random_get $f_clock_time_get $f_proc_exit
    (; 32 ;) $emit $emit_number $jump $await $answer $write_all $read_all $copy
    (; 40 ;) $add $load_word $store_word $get_kept $set_kept $fill $grow $size
    (; 48 ;) $spin $trap $divide $recurse))
)
