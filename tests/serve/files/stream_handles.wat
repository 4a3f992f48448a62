;; A stream of handles: it can't be passed over a link.
(component
  (type $r (resource (rep i32)))
  (core module $m (func (export "f") (param i32) (result i32) (unreachable)))
  (core instance $i (instantiate $m))
  (type $s (stream (own $r)))
  (func $f async (param "n" u32) (result $s) (canon lift (core func $i "f")))
  (component $shape
    (import "r" (type $r (sub resource)))
    (type $s (stream (own $r)))
    (import "f" (func $f async (param "n" u32) (result $s)))
    (export $x "r" (type $r))
    (type $t (stream (own $x)))
    (export "count" (func $f) (func async (param "n" u32) (result $t))))
  (instance $out (instantiate $shape (with "r" (type $r)) (with "f" (func $f))))
  (export "test:pipe/ops@1.0.0" (instance $out)))
