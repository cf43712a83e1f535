;; A raw Extism plugin: what the PDKs do, by hand. The manifest's entry picks what it does with its input; see host/conformance/README.md.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/user" "fetch_all" (func $fetch_all (param i64) (result i64)))

  (memory (export "memory") 1)
  (global $kept (mut i64) (i64.const 0)) ;; 1 once keep has run in this instance

  ;; input copies the input, from its n-th byte on, into a block.
  (func $input (param $n i64) (result i64)
    (local $i i64) (local $size i64) (local $block i64)
    (local.set $size (i64.sub (call $input_length) (local.get $n)))
    (if (i64.le_s (local.get $size) (i64.const 0)) (then (return (i64.const 0))))
    (local.set $block (call $alloc (local.get $size)))
    (if (i64.eqz (local.get $block)) (then (unreachable))) ;; as PDKs do
    (block $done (loop $more
      (br_if $done (i64.ge_u (local.get $i) (local.get $size)))
      (call $store_u8 (i64.add (local.get $block) (local.get $i)) (call $input_load_u8 (i64.add (local.get $n) (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $more)))
    (local.get $block))

  ;; give makes a block the output, and the entry's result.
  (func $give (param $block i64) (result i32)
    (call $output_set (local.get $block) (call $length (local.get $block)))
    (i32.const 0))

  ;; byte makes a block of one byte.
  (func $byte (param $b i32) (result i64)
    (local $block i64)
    (local.set $block (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $block) (local.get $b))
    (local.get $block))

  ;; append copies a block behind n bytes of another, and returns where it ends.
  (func $append (param $to i64) (param $n i64) (param $from i64) (result i64)
    (local $i i64) (local $size i64)
    (if (i64.eqz (local.get $from)) (then (return (local.get $n))))
    (local.set $size (call $length (local.get $from)))
    (block $done (loop $more
      (br_if $done (i64.ge_u (local.get $i) (local.get $size)))
      (call $store_u8 (i64.add (local.get $to) (i64.add (local.get $n) (local.get $i)))
        (call $load_u8 (i64.add (local.get $from) (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $more)))
    (i64.add (local.get $n) (local.get $size)))

  ;; size is a block's, 0 of none.
  (func $size (param $block i64) (result i64)
    (if (result i64) (i64.eqz (local.get $block)) (then (i64.const 0)) (else (call $length (local.get $block)))))

  ;; digits writes three decimal digits and a line feed.
  (func $digits (param $at i64) (param $v i32)
    (call $store_u8 (local.get $at) (i32.add (i32.const 48) (i32.div_u (local.get $v) (i32.const 100))))
    (call $store_u8 (i64.add (local.get $at) (i64.const 1))
      (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $v) (i32.const 10)) (i32.const 10))))
    (call $store_u8 (i64.add (local.get $at) (i64.const 2)) (i32.add (i32.const 48) (i32.rem_u (local.get $v) (i32.const 10))))
    (call $store_u8 (i64.add (local.get $at) (i64.const 3)) (i32.const 10)))

  ;; echo gives its input back.
  (func (export "echo") (result i32) (call $give (call $input (i64.const 0))))

  ;; fetch_all hands its input to fetch_all.
  (func (export "fetch_all") (result i32) (call $give (call $fetch_all (call $input (i64.const 0)))))

  ;; http makes its input http_request's request, without a body. It answers the status in three digits, the headers, and the body, a line each.
  (func (export "http") (result i32)
    (call $exchange (call $input (i64.const 0)) (i64.const 0)))

  ;; http_post is the same with a body, "ping".
  (func (export "http_post") (result i32)
    (local $body i64)
    (local.set $body (call $alloc (i64.const 4)))
    (call $store_u8 (local.get $body) (i32.const 0x70))
    (call $store_u8 (i64.add (local.get $body) (i64.const 1)) (i32.const 0x69))
    (call $store_u8 (i64.add (local.get $body) (i64.const 2)) (i32.const 0x6e))
    (call $store_u8 (i64.add (local.get $body) (i64.const 3)) (i32.const 0x67))
    (call $exchange (call $input (i64.const 0)) (local.get $body)))

  (func $exchange (param $request i64) (param $body i64) (result i32)
    (local $answer i64) (local $headers i64) (local $out i64) (local $n i64)
    (local.set $answer (call $http_request (local.get $request) (local.get $body)))
    (local.set $headers (call $http_headers))
    (local.set $out (call $alloc (i64.add (i64.const 5)
      (i64.add (call $size (local.get $headers)) (call $size (local.get $answer))))))
    (call $digits (local.get $out) (call $http_status_code))
    (local.set $n (call $append (local.get $out) (i64.const 4) (local.get $headers)))
    (call $store_u8 (i64.add (local.get $out) (local.get $n)) (i32.const 10))
    (drop (call $append (local.get $out) (i64.add (local.get $n) (i64.const 1)) (local.get $answer)))
    (call $give (local.get $out)))

  ;; twice makes the same request twice by http_request, and gives both statuses.
  (func (export "twice") (result i32)
    (local $out i64)
    (local.set $out (call $alloc (i64.const 8)))
    (drop (call $http_request (call $input (i64.const 0)) (i64.const 0)))
    (call $digits (local.get $out) (call $http_status_code))
    (drop (call $http_request (call $input (i64.const 0)) (i64.const 0)))
    (call $digits (i64.add (local.get $out) (i64.const 4)) (call $http_status_code))
    (call $give (local.get $out)))

  ;; config gives the value of the configuration key that its input names; nothing, if there is none.
  (func (export "config") (result i32)
    (local $value i64)
    (local.set $value (call $config_get (call $input (i64.const 0))))
    (if (i64.eqz (local.get $value)) (then (return (i32.const 0))))
    (call $give (local.get $value)))

  ;; vars keeps its input in a variable, gives it back from there, deletes it, and fails with 2 if it still is there.
  (func (export "vars") (result i32)
    (local $value i64)
    (if (i64.ne (call $var_get (call $byte (i32.const 0x61))) (i64.const 0)) (then (return (i32.const 3))))
    (call $var_set (call $byte (i32.const 0x61)) (call $input (i64.const 0)))
    (local.set $value (call $var_get (call $byte (i32.const 0x61))))
    (call $var_set (call $byte (i32.const 0x61)) (i64.const 0))
    (if (i64.ne (call $var_get (call $byte (i32.const 0x61))) (i64.const 0)) (then (return (i32.const 2))))
    (call $give (local.get $value)))

  ;; keep leaves a variable and a global behind, and gives as a digit how many of both were there before.
  (func (export "keep") (result i32)
    (local $before i32)
    (local.set $before (i32.add
      (i64.ne (global.get $kept) (i64.const 0))
      (i64.ne (call $var_get (call $byte (i32.const 0x62))) (i64.const 0))))
    (global.set $kept (i64.const 1))
    (call $var_set (call $byte (i32.const 0x62)) (call $byte (i32.const 0x78)))
    (call $give (call $byte (i32.add (i32.const 48) (local.get $before)))))

  ;; hoard fills variables until the host has had enough.
  (func (export "hoard") (result i32)
    (local $i i32)
    (loop $more
      (call $var_set (call $byte (local.get $i)) (call $alloc (i64.const 65536)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (i32.const 32))))
    (i32.const 0))

  ;; log writes its input at four levels.
  (func (export "log") (result i32)
    (call $log_debug (call $input (i64.const 0)))
    (call $log_info (call $input (i64.const 0)))
    (call $log_warn (call $input (i64.const 0)))
    (call $log_error (call $input (i64.const 0)))
    (i32.const 0))

  ;; fail says by error_set what its input says.
  (func (export "fail") (result i32) (call $error_set (call $input (i64.const 0))) (i32.const 1))

  ;; refuse returns 7 and says nothing.
  (func (export "refuse") (result i32) (i32.const 7))

  ;; trap executes `unreachable`, spin never ends, stray writes where it was given no block.
  (func (export "trap") (result i32) (unreachable))
  (func (export "spin") (result i32) (loop $ever (br $ever)) (unreachable))
  (func (export "stray") (result i32) (call $store_u8 (i64.const 8) (i32.const 1)) (i32.const 0))

  ;; grow asks for a mebibyte after the other until it gets none, and then traps.
  (func (export "grow") (result i32)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable))

  ;; modest stops when there is no more memory, and gives "ok".
  (func (export "modest") (result i32)
    (local $out i64)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (local.set $out (call $alloc (i64.const 2)))
    (call $store_u8 (local.get $out) (i32.const 0x6f))
    (call $store_u8 (i64.add (local.get $out) (i64.const 1)) (i32.const 0x6b))
    (call $give (local.get $out)))

  ;; wants is no entry: it takes a parameter.
  (func (export "wants") (param i32) (result i32) (i32.const 0))
)
