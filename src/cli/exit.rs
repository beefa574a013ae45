//! How a command ends: exit codes from `sysexits.h`, and one sentence on stderr.

use std::fmt;
use std::io;

use crate::config::Refused;

/// Why a command failed, by who must act. The numbers are `sysexits.h`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// The answer is no: a test failed, or two things differ. Not of `sysexits.h`: as `diff` and `cmp` have it.
    No = 1,
    /// The command line is wrong.
    Usage = 64,
    /// The input, or what was asked of the hub, is wrong.
    Data = 65,
    /// A file, or the thing that was named, is not there.
    NoInput = 66,
    /// The hub cannot be reached, or cannot do it now.
    Unavailable = 69,
    /// A fault of the program's own.
    Software = 70,
    /// Reading or writing failed.
    Io = 74,
    /// The hub is full: try again later.
    TryLater = 75,
    /// Not allowed.
    NoPermission = 77,
    /// The settings are wrong.
    Config = 78,
}

/// A command's failure.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) code: Code,
    /// What was wrong and what to do. Empty if the other side of a pipe has left: then nothing is to be said.
    pub(super) message: String,
}

impl Failure {
    /// A failure with this code and message.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(Code::Config, refused.to_string())
    }
}

/// Writing the output failed. A closed pipe (`busway tail | head`) is an end, not a fault.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Code::Io, ""),
            _ => Self::new(Code::Io, format!("writing the output failed: {error}")),
        }
    }
}
