;; The demo's judge: a whole filter plugin in WebAssembly text, so that a second version needs no compiler.
;; It stamps each event that it passes with its own version (the data becomes {"judged_by": N}) and drops events whose
;; type begins with the letter $DROP, if that is not 0. VERSION and DROP are filled in before it is assembled.
(module
  (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $drop_event (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "{\"judged_by\":VERSION}")            ;; 15 bytes
  (data (i32.const 1056) "dropped by version VERSION")         ;; 20 bytes
  (data (i32.const 1088) "stamps events with its version")     ;; 30 bytes
  (global $free (mut i32) (i32.const 4096))

  ;; Bump allocation; `evaluate` starts over, since by then the last call's strings have been read.
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local.set $at
      (i32.and (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
    (local.get $at))

  ;; record about { summary, config-schema: none }
  (func (export "busway:plugin/filter@0.1.0#describe") (result i32)
    (i32.store (i32.const 2048) (i32.const 1088))
    (i32.store (i32.const 2052) (i32.const 30))
    (i32.store8 (i32.const 2056) (i32.const 0))
    (i32.const 2048))

  ;; Takes any config: ok.
  (func (export "busway:plugin/filter@0.1.0#init") (param i32 i32) (result i32)
    (i32.store8 (i32.const 2080) (i32.const 0))
    (i32.const 2080))

  ;; head { id, source, type, subject } flat, then the event's handle. Answers ok(verdict).
  (func (export "busway:plugin/filter@0.1.0#evaluate")
    (param i32 i32 i32 i32) (param $type i32) (param i32) (param i32 i32 i32) (param $event i32) (result i32)
    (call $drop_event (local.get $event))
    (global.set $free (i32.const 4096))
    (i32.store8 (i32.const 2112) (i32.const 0))
    (if (i32.eq (i32.load8_u (local.get $type)) (i32.const DROP))
      (then
        (i32.store8 (i32.const 2116) (i32.const 1))
        (i32.store (i32.const 2120) (i32.const 1056))
        (i32.store (i32.const 2124) (i32.const 20)))
      (else
        (i32.store8 (i32.const 2116) (i32.const 2))
        (i32.store (i32.const 2120) (i32.const 1024))
        (i32.store (i32.const 2124) (i32.const 15))))
    (i32.const 2112)))
