;; Passes a request on to the component behind it. Four of these before examples/misbehave are chain.wasm:
;;   wasm-tools parse pass.wat -o pass.wasm; cp ../../../examples/misbehave/misbehave.wasm chain.wasm
;;   four times: wasm-tools compose pass.wasm -d chain.wasm -o next.wasm; mv next.wasm chain.wasm
(component
  (import "wasi:http/types@0.2.12" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (import "wasi:http/incoming-handler@0.2.12" (instance $behind
    (alias outer 1 $request (type $r))
    (alias outer 1 $outparam (type $o))
    (export "incoming-request" (type $ir (eq $r)))
    (export "response-outparam" (type $ro (eq $o)))
    (export "handle" (func (param "request" (own $ir)) (param "response-out" (own $ro))))))
  (core module $m
    (import "behind" "handle" (func $handle (param i32 i32)))
    (func (export "handle") (param i32 i32)
      (call $handle (local.get 0) (local.get 1))))
  (core func $handle (canon lower (func $behind "handle")))
  (core instance $i (instantiate $m (with "behind" (instance (export "handle" (func $handle))))))
  (func $pass (param "request" (own $request)) (param "response-out" (own $outparam)) (canon lift (core func $i "handle")))
  (component $shape
    (import "request" (type $request (sub resource)))
    (import "outparam" (type $outparam (sub resource)))
    (import "handle" (func $f (param "request" (own $request)) (param "response-out" (own $outparam))))
    (export $ir "incoming-request" (type $request))
    (export $ro "response-outparam" (type $outparam))
    (export "handle" (func $f) (func (param "request" (own $ir)) (param "response-out" (own $ro)))))
  (instance $out (instantiate $shape (with "request" (type $request)) (with "outparam" (type $outparam)) (with "handle" (func $pass))))
  (export "wasi:http/incoming-handler@0.2.12" (instance $out)))
