;; Functions to be called from the command line: numbers, text, a record, a list. By hand, so that it shows what is behind a component's exports.
(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 16) "Hello, ")
    (global $next (mut i32) (i32.const 1024))

    ;; Arguments are written here; nothing is freed: an instance serves one call.
    (func $alloc (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $p i32)
      (local.set $p (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $p) (local.get $size)))
      (block $enough
        (loop $grow
          (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $grow (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
          (unreachable)))
      (memory.copy (local.get $p) (local.get $old) (local.get $old-size))
      (local.get $p))

    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))

    (func (export "greet") (param $name i32) (param $len i32) (result i32)
      (local $text i32)
      (local.set $text (call $alloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.add (local.get $len) (i32.const 7))))
      (memory.copy (local.get $text) (i32.const 16) (i32.const 7))
      (memory.copy (i32.add (local.get $text) (i32.const 7)) (local.get $name) (local.get $len))
      (i32.store (i32.const 0) (local.get $text))
      (i32.store (i32.const 4) (i32.add (local.get $len) (i32.const 7)))
      (i32.const 0))

    (func (export "swap") (param $left i32) (param $right i32) (result i32)
      (i32.store (i32.const 0) (local.get $right))
      (i32.store (i32.const 4) (local.get $left))
      (i32.const 0))

    (func (export "sum") (param $list i32) (param $n i32) (result i64)
      (local $sum i64)
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $n)))
          (local.set $sum (i64.add (local.get $sum) (i64.load32_u (local.get $list))))
          (local.set $list (i32.add (local.get $list) (i32.const 4)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $next)))
      (local.get $sum)))

  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))

  (type $pair-type (record (field "left" u32) (field "right" u32)))
  (export $pair "pair" (type $pair-type))

  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func $greet (param "name" string) (result string) (canon lift (core func $i "greet") (memory $memory) (realloc $realloc)))
  (func $swap (param "pair" $pair) (result $pair) (canon lift (core func $i "swap") (memory $memory)))
  (func $sum (param "numbers" (list u32)) (result u64) (canon lift (core func $i "sum") (memory $memory) (realloc $realloc)))
  (export "add" (func $add))
  (export "greet" (func $greet))
  (export "swap" (func $swap))
  (export "sum" (func $sum)))
