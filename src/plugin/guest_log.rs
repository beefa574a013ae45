//! A plugin's voice in the hub's log: lines with its name, limited in number and length.
//!
//! What `log.write` says and what a runtime prints to stdout and stderr come the same way.
//! Invariant: whatever a guest writes, the log gets at most `BURST` lines at once and `PER_SECOND` on average, a
//! plugin; how many were left out is told with the next line that fits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tracing::{debug, error, info, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::recorder::Recorder;
use crate::time::{Clock, Timestamp};

const BURST: u32 = 50;
const PER_SECOND: u32 = 10;
/// Longer lines are cut.
const LINE: usize = 4 << 10;

/// How bad the guest says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The voice of one plugin, shared by its instances.
pub(super) struct GuestLog {
    plugin: String,
    clock: Clock,
    budget: Mutex<Budget>,
    /// Where an observed instance's lines go, instead of the log.
    recorder: Option<Arc<Recorder>>,
}

struct Budget {
    lines: u32,
    since: Timestamp,
    left_out: u64,
}

impl GuestLog {
    pub(super) fn new(plugin: &str, clock: Clock) -> Arc<Self> {
        Self::made(plugin, clock, None)
    }

    /// A voice that only this recorder hears.
    pub(super) fn recorded(plugin: &str, clock: Clock, recorder: Arc<Recorder>) -> Arc<Self> {
        Self::made(plugin, clock, Some(recorder))
    }

    fn made(plugin: &str, clock: Clock, recorder: Option<Arc<Recorder>>) -> Arc<Self> {
        let budget = Mutex::new(Budget {
            lines: BURST,
            since: clock.now(),
            left_out: 0,
        });
        Arc::new(Self {
            plugin: plugin.to_owned(),
            clock,
            budget,
            recorder,
        })
    }

    /// What writes down what this instance does, if it is observed.
    pub(super) fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// Writes one line, if the limit lets it.
    pub(super) fn write(&self, level: Level, text: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.count("log");
            return recorder.line(level.as_str(), cut(text));
        }
        let Some(left_out) = self.spend() else { return };
        let (plugin, text) = (self.plugin.as_str(), cut(text));
        match level {
            Level::Debug => debug!(plugin, text, left_out, "plugin says"),
            Level::Info => info!(plugin, text, left_out, "plugin says"),
            Level::Warn => warn!(plugin, text, left_out, "plugin says"),
            Level::Error => error!(plugin, text, left_out, "plugin says"),
        }
    }

    /// Tells the operator that the plugin wanted what it was not granted, under the same limit.
    pub(super) fn refused(&self, wanted: &str, allow_with: &str) {
        if let Some(recorder) = &self.recorder {
            return recorder.not_granted(allow_with);
        }
        if let Some(left_out) = self.spend() {
            warn!(
                plugin = self.plugin,
                wanted, allow_with, left_out, "plugin wanted what it was not granted"
            );
        }
    }

    /// Takes one line from the budget; how many were left out before it, or none if it is empty.
    fn spend(&self) -> Option<u64> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let earned = now.since(budget.since).as_millis() * u128::from(PER_SECOND) / 1_000;
        if earned > 0 {
            budget.lines = budget
                .lines
                .saturating_add(u32::try_from(earned).unwrap_or(BURST))
                .min(BURST);
            budget.since = now;
        }
        match budget.lines.checked_sub(1) {
            Some(rest) => {
                budget.lines = rest;
                Some(std::mem::take(&mut budget.left_out))
            }
            None => {
                budget.left_out += 1;
                None
            }
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LINE)).unwrap_or(text)
}

/// A guest's stdout or stderr: every line of it goes to the log.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) log: Arc<GuestLog>,
    pub(super) level: Level,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(Lines {
            output: self.clone(),
            begun: Vec::new(),
        })
    }
}

/// Cuts what is written into lines.
struct Lines {
    output: Output,
    begun: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= LINE {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let text = String::from_utf8_lossy(&self.begun);
        let text = text.trim_end();
        if !text.is_empty() {
            self.output.log.write(self.output.level, text);
        }
        self.begun.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end();
    }
}

impl tokio::io::AsyncWrite for Lines {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let clock = Clock::manual(Timestamp(0));
        let log = GuestLog::new("loud", clock.clone());
        let passed = (0..1_000).filter(|_| log.spend().is_some()).count();
        assert_eq!(passed, BURST as usize);
        clock.advance(Duration::from_millis(100));
        assert_eq!(log.spend(), Some(1_000 - u64::from(BURST)), "tells what was left out");
        assert_eq!(log.spend(), None, "a tenth of a second earns one line");
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(
            (0..1_000).filter(|_| log.spend().is_some()).count(),
            BURST as usize,
            "silence is not saved up"
        );
    }

    #[test]
    fn lines_are_cut_at_characters() {
        let long = "é".repeat(LINE);
        assert!(cut(&long).len() <= LINE && cut(&long).ends_with('é'));
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn an_endless_line_does_not_grow() {
        let output = Output {
            log: GuestLog::new("loud", Clock::manual(Timestamp(0))),
            level: Level::Info,
        };
        let mut lines = Lines {
            output,
            begun: Vec::new(),
        };
        for _ in 0..100 {
            lines.take(&[b'x'; 1_000]);
            assert!(lines.begun.len() < LINE);
        }
    }
}
