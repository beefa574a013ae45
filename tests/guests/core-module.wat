;; A core module: what compilers give before the step to a component, and what is dropped in by mistake most often.
(module
  (memory (export "memory") 1)
  (func (export "evaluate")))
