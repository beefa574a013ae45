//! Generations of one filter, each of which signs what it judged: who judged an event shows in its delivery.

use std::path::Path;

/// What else a generation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing.
    Sign,
    /// Every verdict takes some milliseconds.
    Dawdle,
    /// Every verdict traps.
    Trap,
    /// It does not get through its `describe`: it never goes live.
    Refuse,
}

/// What the generation of this mark writes in place of an event's data.
pub(crate) fn mark(number: u32) -> String {
    format!("gen {number:05}")
}

/// The component of that generation.
pub(crate) fn marked(number: u32, deed: Deed) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/marked.wat");
    let text = std::fs::read_to_string(source).expect("the guest's text");
    let (describe, evaluate) = match deed {
        Deed::Sign => ("", ""),
        Deed::Dawdle => (
            "",
            "(loop $on (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
               (br_if $on (i32.lt_u (local.get $turns) (i32.const 4000000))))",
        ),
        Deed::Trap => ("", "unreachable"),
        Deed::Refuse => ("unreachable", ""),
    };
    let text = text
        .replace("(; describe ;)", describe)
        .replace("(; evaluate ;)", evaluate)
        .replace(&mark(0), &mark(number));
    wat::parse_str(text).expect("WebAssembly text")
}
