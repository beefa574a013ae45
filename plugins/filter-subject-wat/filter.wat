;; The smallest filter there is: it keeps the events that have a subject. What the contract says, written by hand; the
;; kit adds the types. In other languages, bindings do this.
(module
  (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $close (param $event i32)))
  (memory (export "memory") 1)
  ;; 0: what is returned. 64: the texts. From 1024: what the hub lays there for one call.
  (data (i32.const 64) "keeps the events that have a subject")
  (data (i32.const 128) "it has no subject")
  (global $next (mut i32) (i32.const 1024))

  ;; The hub asks for room for each argument here. What it laid there is forgotten with the call, so this only moves on.
  (func (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      unreachable)
    (local.get $at))

  ;; about: a summary, and no config schema.
  (func (export "busway:plugin/filter@0.1.0#describe") (result i32)
    (i64.store (i32.const 0) (i64.const 0x24_0000_0040)) ;; 36 bytes at 64
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.const 0))

  ;; result: ok. Every config will do.
  (func (export "busway:plugin/filter@0.1.0#init") (param $config i32) (param $length i32) (result i32)
    (global.set $next (i32.const 1024))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0))

  ;; result: ok; verdict: 0 is pass, 1 is drop with its reason.
  (func (export "busway:plugin/filter@0.1.0#evaluate")
    (param $id i32) (param $id-length i32) (param $source i32) (param $source-length i32)
    (param $type i32) (param $type-length i32)
    (param $has-subject i32) (param $subject i32) (param $subject-length i32)
    (param $event i32) (result i32)
    (global.set $next (i32.const 1024))
    (call $close (local.get $event))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store8 (i32.const 4) (i32.eqz (local.get $has-subject)))
    (i64.store (i32.const 8) (i64.const 0x11_0000_0080)) ;; 17 bytes at 128
    (i32.const 0)))
