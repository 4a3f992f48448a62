;; A stream whose elements have more bytes than a link passes.
;;   wasm-tools parse stream_wide.wat -o stream_wide.wasm
(component
  (core module $m (func (export "f") (param i32) (result i32) (unreachable)))
  (core instance $i (instantiate $m))
  (type $s (stream (list u8 262145)))
  (func $f async (param "n" u32) (result $s) (canon lift (core func $i "f")))
  (instance $out (export "count" (func $f)))
  (export "test:pipe/ops@1.0.0" (instance $out)))
