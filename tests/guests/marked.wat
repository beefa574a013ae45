;; A filter that says which generation it is: it replaces the data of every event with its mark. Tests write other marks in
;; place of `gen 00000`, and deeds in place of the two comments that name them.
(component
  (import "busway:plugin/events@0.1.0" (instance $events
    (export "event" (type (sub resource)))
    (type $head (record
      (field "id" string) (field "source" string) (field "type" string) (field "subject" (option string))))
    (export "head" (type (eq $head)))
    (type $verdict (variant (case "pass") (case "drop" string) (case "replace" (list u8))))
    (export "verdict" (type (eq $verdict)))
    (type $about (record (field "summary" string) (field "config-schema" (option string))))
    (export "about" (type (eq $about)))))
  (alias export $events "event" (type $event))
  (alias export $events "head" (type $head))
  (alias export $events "verdict" (type $verdict))
  (alias export $events "about" (type $about))

  (core module $Guest
    (import "host" "close" (func $close (param i32)))
    (memory (export "memory") 1)
    ;; 0: about; 32: an ok with nothing; 64: the summary; 128: an ok with a replace; 256: the mark; from 4096: what the
    ;; host lays there.
    (data (i32.const 64) "says who judged")
    (data (i32.const 132) "\02\00\00\00\00\01\00\00\09\00\00\00")
    (data (i32.const 256) "gen 00000")
    (global $next (mut i32) (i32.const 4096))

    ;; Arguments are forgotten after each call, so the allocator needs only to move on.
    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
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

    (func (export "describe") (result i32)
      (i32.store (i32.const 0) (i32.const 64))
      (; describe ;)
      (i32.store (i32.const 4) (i32.const 15))
      (i32.const 0))

    (func (export "init") (param $config i32) (param $length i32) (result i32)
      (global.set $next (i32.const 4096))
      (i32.const 32))

    (func (export "evaluate")
      (param $id i32) (param $id-length i32) (param $source i32) (param $source-length i32)
      (param $type i32) (param $type-length i32)
      (param $subject-is-some i32) (param $subject i32) (param $subject-length i32)
      (param $event i32) (result i32) (local $turns i32)
      ;; What was borrowed must be given back before the call returns.
      (call $close (local.get $event))
      (; evaluate ;)
      (global.set $next (i32.const 4096))
      (i32.const 128)))

  (core func $close (canon resource.drop $event))
  (core instance $guest (instantiate $Guest (with "host" (instance (export "close" (func $close))))))
  (alias core export $guest "memory" (core memory $memory))
  (alias core export $guest "realloc" (core func $realloc))

  (func $describe (result $about)
    (canon lift (core func $guest "describe") (memory $memory)))
  (func $init (param "config" string) (result (result (error string)))
    (canon lift (core func $guest "init") (memory $memory) (realloc $realloc)))
  (func $evaluate (param "head" $head) (param "event" (borrow $event)) (result (result $verdict (error string)))
    (canon lift (core func $guest "evaluate") (memory $memory) (realloc $realloc)))

  (instance $filter
    (export "describe" (func $describe))
    (export "init" (func $init))
    (export "evaluate" (func $evaluate)))
  (export "busway:plugin/filter@0.1.0" (instance $filter)))
