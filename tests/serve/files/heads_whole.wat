;; Exports a stream of requests, which have streams of their own: no link passes it.
;;   wasm-tools parse heads_whole.wat -o heads_whole.wasm
(component
  (import "wasi:http/types@0.3.0" (instance $http (export "request" (type (sub resource)))))
  (alias export $http "request" (type $request))
  (type $stream (stream (own $request)))
  (core module $m (func (export "count") (param i32) unreachable))
  (core instance $i (instantiate $m))
  (func $count async (param "s" $stream) (result u32) (canon lift (core func $i "count") async))
  (component $shape
    (import "request" (type $r (sub resource)))
    (import "count" (func $count async (param "s" (stream (own $r))) (result u32)))
    (export $x "request" (type $r))
    (export "count" (func $count) (func async (param "s" (stream (own $x))) (result u32))))
  (instance $out (instantiate $shape (with "request" (type $request)) (with "count" (func $count))))
  (export "test:pipe/ops@1.0.0" (instance $out)))
