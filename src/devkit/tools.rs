//! The tools of other people that a build runs: found on a PATH, run with their output kept.
//!
//! The PATH is a value and not the process's own, so that a test can take every tool away without touching another.
//! Invariant: a tool runs by the path it was found at, with the same PATH for whatever it starts itself.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Kind};

/// Where to look for compilers, and where those are kept that the kit fetches itself.
#[derive(Debug, Clone)]
pub struct Tools {
    path: OsString,
    kept: Option<PathBuf>,
}

impl Tools {
    /// Those on this process's PATH; fetched ones in `$BUSWAY_TOOLS`, else where this user's caches are.
    pub fn from_env() -> Self {
        let folder = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let caches = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Self {
            path: std::env::var_os("PATH").unwrap_or_default(),
            kept: folder("BUSWAY_TOOLS").or_else(|| Some(caches()?.join("busway").join("tools"))),
        }
    }

    /// Those on this PATH, and nothing that would have to be fetched.
    pub fn on(path: impl Into<OsString>) -> Self {
        Self {
            path: path.into(),
            kept: None,
        }
    }

    /// The same, with this folder for what is fetched.
    #[must_use]
    pub fn keeping(mut self, folder: impl Into<PathBuf>) -> Self {
        self.kept = Some(folder.into());
        self
    }

    /// Where fetched tools are kept.
    pub(super) fn kept(&self) -> Result<&Path, Error> {
        self.kept.as_deref().ok_or_else(|| {
            missing("there is no folder to keep fetched tools in: name one in BUSWAY_TOOLS, or set HOME".to_owned())
        })
    }

    /// The first of these programs that is there.
    pub(super) fn find(&self, names: &[&str]) -> Option<PathBuf> {
        names.iter().find_map(|name| {
            let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
            std::env::split_paths(&self.path)
                .map(|folder| folder.join(&file))
                .find(|path| path.is_file())
        })
    }

    /// A command for this program, or `tool_missing` with how to get it.
    pub(super) fn command(&self, name: &str, how_to_get: &str) -> Result<Command, Error> {
        let Some(path) = self.find(&[name]) else {
            return Err(missing(format!("{name} is not on PATH: {how_to_get}")));
        };
        Ok(self.command_at(path))
    }

    /// A command for a program found earlier.
    pub(super) fn command_at(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", &self.path).stdin(Stdio::null());
        command
    }
}

/// Runs it and returns what it printed; `build_failed` with what it complained of otherwise.
pub(super) fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|cause| cannot_run(command, cause))?;
    if !output.status.success() {
        return Err(failed(command, &String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it and passes on its complaints as they come; they are the error if it fails.
pub(super) fn run(command: &mut Command, say: &mut dyn FnMut(&str)) -> Result<(), Error> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| cannot_run(command, cause))?;
    let mut complaints = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            say(&line);
            complaints.push_str(&line);
            complaints.push('\n');
        }
    }
    let status = child.wait().map_err(|cause| cannot_run(command, cause))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(command, &complaints))
    }
}

/// A tool that must be installed; the message says how.
pub(super) fn missing(message: String) -> Error {
    Error::new(Kind::Unavailable, "tool_missing", message)
}

fn cannot_run(command: &Command, cause: std::io::Error) -> Error {
    let name = command.get_program().display();
    match cause.kind() {
        ErrorKind::NotFound => missing(format!("{name} is not there any more")),
        _ => missing(format!("{name} does not start: {cause}")).with_cause(cause),
    }
}

fn failed(command: &Command, complaints: &str) -> Error {
    let name = PathBuf::from(command.get_program());
    let name = name.file_name().unwrap_or_else(|| command.get_program()).display();
    Error::invalid("build_failed", format!("{name} failed:\n{}", complaints.trim_end()))
}
