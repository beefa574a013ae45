//! The demo is a test of the whole: its ledger closes, or it ends with an error.

use std::path::Path;

use crate::support::run;

#[test]
fn the_ledger_closes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, shown, error) = run(root, &["demo", "--load", "1000"]);
    assert_eq!(code, 0, "{shown}\n{error}");
    assert!(shown.contains("lost 0"), "{shown}");
    assert!(shown.contains("version 2 is live"), "{shown}");
}

#[test]
fn it_says_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let (code, _, error) = run(empty.path(), &["demo"]);
    assert_eq!(code, 66, "{error}");
    assert!(error.contains("run it from the root of a checkout"), "{error}");
}
