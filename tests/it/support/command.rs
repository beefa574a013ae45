//! The program as a person runs it: one command, its exit code, and what it printed.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, without the settings of the person who runs the tests.
pub(crate) fn busway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busway"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BUSWAY_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command in `folder`; its code, stdout and stderr.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = busway()
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run busway");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
