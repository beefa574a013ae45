;; A plugin of a version of the contract that no hub serves yet: the refusal must name both versions.
(component
  (core module $Guest (func (export "describe")))
  (core instance $guest (instantiate $Guest))
  (func $describe (canon lift (core func $guest "describe")))
  (instance $filter (export "describe" (func $describe)))
  (export "busway:plugin/filter@0.9.0" (instance $filter)))
