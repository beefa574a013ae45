//! The filter that is swapped under load: two versions of one plugin, assembled from `judge.wat` in this process.
//!
//! Why its own plugin: the ledger must know which version judged each event, so each version stamps what it passes.
//! Version 1 passes everything; version 2 drops events whose type begins with `s`.

use std::path::Path;

use crate::cli::exit::{Code, Failure};
use crate::devkit;

/// Its name in the plugin directory.
pub(super) const NAME: &str = "judge";

const TEXT: &str = include_str!("judge.wat");

/// Whether version 2 drops an event of this type.
pub(super) fn second_drops(ty: &str) -> bool {
    ty.starts_with('s')
}

/// The component of this version.
pub(super) fn assemble(version: u8) -> Result<Vec<u8>, Failure> {
    let drop = if version == 1 { 0 } else { b's' };
    let text = TEXT
        .replace("VERSION", &version.to_string())
        .replace("DROP", &drop.to_string());
    devkit::assemble(&text, "filter-plugin").map_err(|error| Failure::new(Code::Software, error.to_string()))
}

/// Puts a component in place whole: written beside, then renamed.
pub(super) fn place(wasm: &[u8], plugins: &Path) -> Result<(), Failure> {
    let beside = plugins.join(format!("{NAME}.next"));
    let written =
        std::fs::write(&beside, wasm).and_then(|()| std::fs::rename(&beside, plugins.join(format!("{NAME}.wasm"))));
    written.map_err(|cause| {
        Failure::new(
            Code::Io,
            format!("the judge cannot be written to {}: {cause}", plugins.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_components_and_differ() {
        let (first, second) = (assemble(1).unwrap(), assemble(2).unwrap());
        assert_ne!(first, second);
        assert!(first.starts_with(b"\0asm"));
    }
}
