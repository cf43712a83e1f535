;; A guest that knows version 1 of the ABI (host/ABI.md) as it was at first, before there were streams: what was built for an early host
;; must run on every later one. It is written by hand, so that no SDK stands between the test and the host's functions.
;;
;; The letter after the path's slash picks what it does; wat_test.go has what each must answer. The request's body is a URL, or empty. What
;; may never happen ends it with proc_exit, whose status says where. Its memory never grows.
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
  (import "sortie:host/v1" "cancel" (func $cancel (param i32) (result i32)))
  (import "sortie:host/v1" "drop" (func $drop (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  (memory (export "memory") 4 4)

  ;; Where things lie:
  ;;   0x00000  constants, below
  ;;   0x00400  an array of handles, and the one that wait fills at 0x00480
  ;;   0x00500  what poll_oneoff and the descriptors need
  ;;   0x01000  the request's head
  ;;   0x04000  the request's body
  ;;   0x08000  an encoding that is being written; members of a group at 0x0c000
  ;;   0x10000  the head of a fetch
  ;;   0x20000  the answer
  (data (i32.const 0x000) "ping")
  ;; What stands in a fetch before its URL and behind it: one field, a timeout of 30 s, expect 2xx, a retry after 503 with back-offs of 1 ms
  ;; and 2 ms, and the body, which is the four bytes at 0.
  (data (i32.const 0x010) "\04POST")
  (data (i32.const 0x020) "\09\05x-abi\02v1" "\c0\00\00\06\fc\23\ac\00" "\00\00\00" "\032xx"
    "\01\02\80\0f\42\40\80\1e\84\80\01\41\f7" "\00\04")
  ;; The response's fields.
  (data (i32.const 0x060) "\0f\07x-guest\06abi_v1")
  (data (i32.const 0x080) "no luck")
  (data (i32.const 0x090) "careful")
  (data (i32.const 0x0a0) "in detail")
  (data (i32.const 0x0b0) "printed\n")
  (data (i32.const 0x0c0) "region")
  (data (i32.const 0x0d0) "nowhere")
  (data (i32.const 0x0e0) "dropped")

  (global $in (mut i32) (i32.const 0))       ;; where the next thing is read
  (global $out (mut i32) (i32.const 0))      ;; where the next one is written
  (global $url_size (mut i32) (i32.const 0)) ;; of the request's body
  (global $to (mut i32) (i32.const 0x20000)) ;; the answer's end

  ;; check ends the guest unless what must be so is so.
  (func $check (param $ok i32) (param $where i32)
    (if (i32.eqz (local.get $ok)) (then (call $proc_exit (local.get $where)) (unreachable))))

  ;; Encodings ------------------------------------------------------------------------------------------------------------------------

  ;; varint reads one: the first byte's upper two bits tell how many follow (RFC 9000, section 16).
  (func $varint (result i64)
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
    (local.get $v))

  (func $number (result i32) (i32.wrap_i64 (call $varint)))

  ;; string reads one: where it is, and how long.
  (func $string (result i32 i32)
    (local $n i32)
    (local.set $n (call $number))
    (global.get $in)
    (local.get $n)
    (global.set $in (i32.add (global.get $in) (local.get $n))))

  (func $skip (call $string) (drop) (drop))

  (func $put_byte (param $b i32)
    (i32.store8 (global.get $out) (local.get $b))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))

  ;; put_varint writes a number below 2^30 in four bytes: any length is as good.
  (func $put_varint (param $v i32)
    (call $put_byte (i32.or (i32.const 0x80) (i32.shr_u (local.get $v) (i32.const 24))))
    (call $put_byte (i32.shr_u (local.get $v) (i32.const 16)))
    (call $put_byte (i32.shr_u (local.get $v) (i32.const 8)))
    (call $put_byte (local.get $v)))

  (func $put (param $ptr i32) (param $n i32)
    (memory.copy (global.get $out) (local.get $ptr) (local.get $n))
    (global.set $out (i32.add (global.get $out) (local.get $n))))

  ;; put_fetch writes a fetch of the request's URL; with a suffix, of the URL with that letter appended.
  (func $put_fetch (param $suffix i32)
    (call $put (i32.const 0x010) (i32.const 5))
    (call $put_varint (i32.add (global.get $url_size) (i32.ne (local.get $suffix) (i32.const 0))))
    (call $put (i32.const 0x4000) (global.get $url_size))
    (if (local.get $suffix) (then (call $put_byte (local.get $suffix))))
    (call $put (i32.const 0x020) (i32.const 40)))

  ;; The invocation -------------------------------------------------------------------------------------------------------------------

  ;; append adds bytes to the answer.
  (func $append (param $ptr i32) (param $n i32)
    (memory.copy (global.get $to) (local.get $ptr) (local.get $n))
    (global.set $to (i32.add (global.get $to) (local.get $n))))

  (func $append_i32 (param $v i32)
    (i32.store (global.get $to) (local.get $v))
    (global.set $to (i32.add (global.get $to) (i32.const 4))))

  ;; answer gives what was appended as the response, and is what handle returns. A second response is EALREADY.
  (func $answer (param $status i32) (result i32)
    (global.set $out (i32.const 0x8000))
    (call $put_varint (local.get $status))
    (call $put (i32.const 0x060) (i32.const 16))
    (call $put_varint (i32.const 0x20000))
    (call $put_varint (i32.sub (global.get $to) (i32.const 0x20000)))
    (call $check (i32.eqz (call $give)) (i32.const 10))
    (call $check (i32.eq (call $give) (i32.const -7)) (i32.const 11))
    (i32.const 0))

  (func $give (result i32)
    (call $respond (i32.const 0x8000) (i32.sub (global.get $out) (i32.const 0x8000))))

  ;; receive reads the request's head, by a sized read's two steps, and its body, in pieces. It returns the path's letter.
  (func $receive (result i32)
    (local $n i32) (local $letter i32)
    (local.set $n (call $request (i32.const 0) (i32.const 0)))
    (call $check (i32.gt_s (local.get $n) (i32.const 0)) (i32.const 20))
    (i32.store8 (i32.const 0x1000) (i32.const 0x77))
    (call $check (i32.eq (call $request (i32.const 0x1000) (i32.const 1)) (local.get $n)) (i32.const 21))
    (call $check (i32.eq (i32.load8_u (i32.const 0x1000)) (i32.const 0x77)) (i32.const 22)) ;; there was no room: nothing is written
    (call $check (i32.eq (call $request (i32.const 0x1000) (local.get $n)) (local.get $n)) (i32.const 23))
    (global.set $in (i32.const 0x1000))
    (call $skip) ;; method
    (call $string) (drop) ;; path
    (local.set $letter (i32.load8_u offset=1))
    (call $skip) ;; query
    (call $skip) ;; host
    (call $skip) ;; client's address
    (call $skip) ;; fields
    (local.set $n (call $number))
    (call $check (i64.gt_s (call $varint) (i64.const 0)) (i32.const 24)) ;; time left
    (call $receive_body)
    (call $check (i32.eq (global.get $url_size) (local.get $n)) (i32.const 25))
    (local.get $letter))

  (func $receive_body
    (local $n i32)
    (loop $more
      (local.set $n (call $read_request (i32.add (i32.const 0x4000) (global.get $url_size)) (i32.const 7)))
      (call $check (i32.le_u (local.get $n) (i32.const 7)) (i32.const 26))
      (global.set $url_size (i32.add (global.get $url_size) (local.get $n)))
      (br_if $more (local.get $n))))

  ;; Fetches --------------------------------------------------------------------------------------------------------------------------

  ;; start sends the fetch of the request's URL.
  (func $start (result i32)
    (local $h i32)
    (global.set $out (i32.const 0x8000))
    (call $put_fetch (i32.const 0))
    (local.set $h (call $send (i32.const 0x8000) (i32.sub (global.get $out) (i32.const 0x8000))))
    (call $check (i32.gt_s (local.get $h) (i32.const 0)) (i32.const 30))
    (local.get $h))

  ;; await waits for one handle, without a limit of its own.
  (func $await (param $h i32)
    (i32.store (i32.const 0x400) (local.get $h))
    (call $check
      (i32.eq (call $wait (i32.const 0x400) (i32.const 1) (i32.const 0) (i64.const -1) (i32.const 0x480)) (i32.const 1)) (i32.const 31))
    (call $check (i32.eq (i32.load (i32.const 0x480)) (local.get $h)) (i32.const 32)))

  ;; open_head reads what became of a fetch, and the state that it begins with.
  (func $open_head (param $h i32) (result i32)
    (local $n i32)
    (local.set $n (call $head (local.get $h) (i32.const 0) (i32.const 0)))
    (call $check (i32.gt_s (local.get $n) (i32.const 0)) (i32.const 33))
    (call $check (i32.eq (call $head (local.get $h) (i32.const 0x10000) (i32.const 0x10000)) (local.get $n)) (i32.const 34))
    (global.set $in (i32.const 0x10000))
    (call $number))

  ;; take appends a fulfilled fetch's body to the answer, in pieces, and returns its status.
  (func $take (param $h i32) (result i32)
    (local $status i32) (local $size i32) (local $n i32)
    (call $check (i32.eq (call $open_head (local.get $h)) (i32.const 2)) (i32.const 35))
    (local.set $status (call $number))
    (call $skip) ;; final URL
    (call $check (i32.eqz (call $number)) (i32.const 36)) ;; redirected
    (call $check (i32.gt_s (call $number) (i32.const 0)) (i32.const 37)) ;; attempts
    (call $check (i64.gt_s (call $varint) (i64.const 0)) (i32.const 38)) ;; elapsed
    (call $skip) ;; fields
    (local.set $size (call $number))
    (loop $more
      (local.set $n (call $body (local.get $h) (global.get $to) (i32.const 5)))
      (call $check (i32.le_u (local.get $n) (i32.const 5)) (i32.const 39))
      (global.set $to (i32.add (global.get $to) (local.get $n)))
      (local.set $size (i32.sub (local.get $size) (local.get $n)))
      (br_if $more (local.get $n)))
    (call $check (i32.eqz (local.get $size)) (i32.const 40))
    (local.get $status))

  ;; What the letters stand for -------------------------------------------------------------------------------------------------------

  (func $fetch (result i32)
    (local $h i32)
    (local.set $h (call $start))
    (call $await (local.get $h))
    (call $answer (call $take (local.get $h))))

  ;; three fetches in a group, two at once; all settle, and their bodies follow one another.
  (func $fetch_group (result i32)
    (local $h i32) (local $i i32) (local $size i32)
    (global.set $out (i32.const 0xc000))
    (call $put_fetch (i32.const 0x61))
    (local.set $size (i32.sub (global.get $out) (i32.const 0xc000)))
    (global.set $out (i32.const 0x8000))
    (call $put_byte (i32.const 1)) ;; all_settled
    (call $put_byte (i32.const 0)) ;; count
    (call $put_byte (i32.const 2)) ;; concurrency
    (call $put_byte (i32.const 0)) ;; timeout
    (call $put_byte (i32.const 3))
    (loop $more
      (call $put_varint (local.get $size))
      (call $put_fetch (i32.add (i32.const 0x61) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (i32.const 3))))
    (local.set $h (call $group (i32.const 0x8000) (i32.sub (global.get $out) (i32.const 0x8000))))
    (call $check (i32.gt_s (local.get $h) (i32.const 0)) (i32.const 50))
    (call $await (local.get $h))
    (call $check (i32.eq (call $head (local.get $h) (i32.const 0) (i32.const 0)) (i32.const -3)) (i32.const 51)) ;; the members tell
    (drop (call $take (i32.add (local.get $h) (i32.const 1))))
    (drop (call $take (i32.add (local.get $h) (i32.const 2))))
    (drop (call $take (i32.add (local.get $h) (i32.const 3))))
    (call $check (i32.eqz (call $drop (local.get $h))) (i32.const 52))
    (call $check (i32.eq (call $head (i32.add (local.get $h) (i32.const 1)) (i32.const 0) (i32.const 0)) (i32.const -3)) (i32.const 53))
    (call $answer (i32.const 200)))

  ;; a fetch that is cancelled: the answer is its code.
  (func $fetch_cancel (result i32)
    (local $h i32)
    (local.set $h (call $start))
    (call $check (i32.eqz (call $cancel (local.get $h))) (i32.const 60))
    (call $await (local.get $h))
    (call $check (i32.eq (call $open_head (local.get $h)) (i32.const 4)) (i32.const 61))
    (call $append (call $string))
    (call $answer (i32.const 200)))

  (func $fetch_drop (result i32)
    (local $h i32)
    (local.set $h (call $start))
    (call $check (i32.eqz (call $drop (local.get $h))) (i32.const 62))
    (call $check (i32.eq (call $head (local.get $h) (i32.const 0) (i32.const 0)) (i32.const -3)) (i32.const 63))
    (call $await (local.get $h)) ;; a handle that is no more counts as settled
    (call $append (i32.const 0x0e0) (i32.const 7))
    (call $answer (i32.const 200)))

  ;; the same fetch, waited for as guests with threads do: descriptor 3 beside a clock that is far off.
  (func $fetch_poll (result i32)
    (local $h i32)
    (local.set $h (call $start))
    (i64.store (i32.const 0x500) (i64.const 7))  ;; the clock's userdata
    (i32.store8 (i32.const 0x508) (i32.const 0)) ;; a clock
    (i32.store (i32.const 0x510) (i32.const 1))  ;; the monotonic one
    (i64.store (i32.const 0x518) (i64.const 20000000000))
    (i64.store (i32.const 0x530) (i64.const 9))  ;; the descriptor's userdata
    (i32.store8 (i32.const 0x538) (i32.const 1)) ;; fd_read
    (i32.store (i32.const 0x540) (i32.const 3))
    (call $check (i32.eqz (call $poll_oneoff (i32.const 0x500) (i32.const 0x600) (i32.const 2) (i32.const 0x700))) (i32.const 70))
    (call $check (i32.eq (i32.load (i32.const 0x700)) (i32.const 1)) (i32.const 71))
    (call $check (i64.eq (i64.load (i32.const 0x600)) (i64.const 9)) (i32.const 72))
    (call $check (i32.eq (i32.load8_u (i32.const 0x60a)) (i32.const 1)) (i32.const 73))
    (i32.store (i32.const 0x710) (i32.const 0x730)) ;; a vector with room for four handles
    (i32.store (i32.const 0x714) (i32.const 16))
    (call $check (i32.eqz (call $fd_read (i32.const 3) (i32.const 0x710) (i32.const 1) (i32.const 0x720))) (i32.const 74))
    (call $check (i32.eq (i32.load (i32.const 0x720)) (i32.const 4)) (i32.const 75))
    (call $check (i32.eq (i32.load (i32.const 0x730)) (local.get $h)) (i32.const 76))
    (call $check (i32.eq (call $fd_read (i32.const 3) (i32.const 0x710) (i32.const 1) (i32.const 0x720)) (i32.const 6)) (i32.const 77))
    (call $answer (call $take (local.get $h))))

  ;; the time and sixteen random bytes, as they are.
  (func $chance (result i32)
    (call $check (i32.eqz (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 0x20000))) (i32.const 80))
    (call $check (i32.eqz (call $random_get (i32.const 0x20008) (i32.const 16))) (i32.const 81))
    (global.set $to (i32.const 0x20018))
    (call $answer (i32.const 200)))

  (func $lines (result i32)
    (call $check (i32.eqz (call $log (i32.const 4) (i32.const 0x090) (i32.const 7))) (i32.const 90))
    (call $check (i32.eqz (call $log (i32.const -4) (i32.const 0x0a0) (i32.const 9))) (i32.const 91))
    (i32.store (i32.const 0x710) (i32.const 0x0b0))
    (i32.store (i32.const 0x714) (i32.const 8))
    (call $check (i32.eqz (call $fd_write (i32.const 1) (i32.const 0x710) (i32.const 1) (i32.const 0x720))) (i32.const 92))
    (call $check (i32.eq (i32.load (i32.const 0x720)) (i32.const 8)) (i32.const 93))
    (call $answer (i32.const 204)))

  (func $settings (result i32)
    (local $n i32)
    (local.set $n (call $config (i32.const 0x0c0) (i32.const 6) (i32.const 0) (i32.const 0)))
    (call $check (i32.eq (call $config (i32.const 0x0c0) (i32.const 6) (i32.const 0x20000) (local.get $n)) (local.get $n)) (i32.const 94))
    (global.set $to (i32.add (i32.const 0x20000) (local.get $n)))
    (call $answer (i32.const 200)))

  (func $sorry (result i32)
    (call $check (i32.eqz (call $fail (i32.const 0x080) (i32.const 7))) (i32.const 95))
    (i32.const 1))

  (func $leave (result i32)
    (drop (call $sorry))
    (call $proc_exit (i32.const 3))
    (unreachable))

  ;; errors makes calls that must fail, with a fetch of its URL in flight among them, and answers what each returned.
  (func $errors (result i32)
    (local $h i32)
    (call $append_i32 (call $request (i32.const 0xffffffff) (i32.const 1)))
    (call $append_i32 (call $read_request (i32.const 0x3fff0) (i32.const 17)))
    (call $append_i32 (call $respond (i32.const 0x3fff0) (i32.const 17)))
    (call $append_i32 (call $respond (i32.const 0x090) (i32.const 7)))
    (call $append_i32 (call $fail (i32.const 0x40001) (i32.const 0)))
    (call $append_i32 (call $log (i32.const 0) (i32.const 0xffffffff) (i32.const 0xffffffff)))
    (call $append_i32 (call $config (i32.const 0x0d0) (i32.const 7) (i32.const 0) (i32.const 0)))
    (call $append_i32 (call $send (i32.const 0x3fff0) (i32.const 17)))
    (call $append_i32 (call $send (i32.const 0x090) (i32.const 7)))
    (call $append_i32 (call $group (i32.const 0x3fff0) (i32.const 17)))
    (call $append_i32 (call $group (i32.const 0x090) (i32.const 7)))
    (call $append_i32 (call $head (i32.const 99) (i32.const 0) (i32.const 0)))
    (call $append_i32 (call $body (i32.const 99) (i32.const 0) (i32.const 0)))
    (call $append_i32 (call $cancel (i32.const 99)))
    (call $append_i32 (call $drop (i32.const 99)))
    (local.set $h (call $start))
    (i32.store (i32.const 0x400) (local.get $h))
    (call $append_i32 (call $head (local.get $h) (i32.const 0) (i32.const 0)))
    (call $append_i32 (call $body (local.get $h) (i32.const 0) (i32.const 0)))
    (call $append_i32 (call $wait (i32.const 0x400) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 0x480)))
    (call $append_i32 (call $wait (i32.const 0x400) (i32.const 1) (i32.const 2) (i64.const 0) (i32.const 0x480)))
    (call $append_i32 (call $wait (i32.const 0x3fffd) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 0x480)))
    (call $append_i32 (call $wait (i32.const 0x400) (i32.const 1) (i32.const 0) (i64.const 0) (i32.const 0x3fffd)))
    (call $append_i32 (call $drop (local.get $h)))
    (call $append_i32 (call $drop (local.get $h)))
    (call $answer (i32.const 200)))

  (func (export "handle") (result i32)
    (block $unknown
      (block $why (block $time (block $poll (block $log (block $key (block $quit (block $group (block $fetch (block $errors
        (block $drop (block $cancel
        (br_table
          ;; a       b        c       d     e       f      g      h        i        j        k    l    m        n        o        p
          $unknown $unknown $cancel $drop $errors $fetch $group $unknown $unknown $unknown $key $log $unknown $unknown $unknown $poll
          ;; q    r        s        t     u        v        w    others
          $quit $unknown $unknown $time $unknown $unknown $why $unknown
          (i32.sub (call $receive) (i32.const 0x61))))
      (return (call $fetch_cancel)))
      (return (call $fetch_drop)))
      (return (call $errors)))
      (return (call $fetch)))
      (return (call $fetch_group)))
      (return (call $leave)))
      (return (call $settings)))
      (return (call $lines)))
      (return (call $fetch_poll)))
      (return (call $chance)))
      (return (call $sorry)))
    (call $answer (i32.const 404)))
)
