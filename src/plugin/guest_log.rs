//! A plugin's voice in the hub's log: lines with its name, limited in number and length.
//!
//! What `log.write` says and what a runtime prints to stdout and stderr come the same way.
//! Invariant: whatever a guest writes, the log gets at most `limits.log_lines` lines and `limits.log_bytes` bytes a
//! second on average, [`BURST`] seconds' worth at once; how many were left out is told with the next line that fits.
//! Invariant: what the hub says about a plugin's missing grants and met limits is said once, flood or not.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tracing::{debug, error, info, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use super::Limits;
use super::recorder::Recorder;
use super::status::Figures;
use crate::time::{Clock, Timestamp};

/// What a plugin may write at once after silence, in seconds of its rate.
const BURST: u64 = 5;
/// Different things that are told once; a guest may make up names without end.
const TOLD: usize = 64;
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
    /// A second's.
    lines: u64,
    bytes: u64,
    figures: Arc<Figures>,
    budget: Mutex<Budget>,
    told: Mutex<BTreeSet<String>>,
    /// Where an observed instance's lines go, instead of the log.
    recorder: Option<Arc<Recorder>>,
}

struct Budget {
    lines: u64,
    bytes: u64,
    since: Timestamp,
    left_out: u64,
}

impl GuestLog {
    pub(super) fn new(plugin: &str, limits: &Limits, figures: Arc<Figures>, clock: Clock) -> Arc<Self> {
        Arc::new(Self::made(plugin, limits, figures, clock))
    }

    /// A voice that only this recorder hears.
    pub(super) fn recorded(plugin: &str, limits: &Limits, clock: Clock, recorder: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            recorder: Some(recorder),
            ..Self::made(plugin, limits, Arc::default(), clock)
        })
    }

    fn made(plugin: &str, limits: &Limits, figures: Arc<Figures>, clock: Clock) -> Self {
        let (lines, bytes) = (limits.log_lines as u64, limits.log_bytes as u64);
        let budget = Mutex::new(Budget {
            lines: lines * BURST,
            bytes: bytes * BURST,
            since: clock.now(),
            left_out: 0,
        });
        Self {
            plugin: plugin.to_owned(),
            clock,
            lines,
            bytes,
            figures,
            budget,
            told: Mutex::default(),
            recorder: None,
        }
    }

    /// Whose figures the instances that write here count in.
    pub(super) fn figures(&self) -> &Arc<Figures> {
        &self.figures
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
        let (plugin, text) = (self.plugin.as_str(), cut(text));
        let Some(left_out) = self.spend(text.len()) else {
            return;
        };
        match level {
            Level::Debug => debug!(plugin, text, left_out, "plugin says"),
            Level::Info => info!(plugin, text, left_out, "plugin says"),
            Level::Warn => warn!(plugin, text, left_out, "plugin says"),
            Level::Error => error!(plugin, text, left_out, "plugin says"),
        }
    }

    /// Tells the operator, once, that the plugin wanted what it was not granted.
    pub(super) fn refused(&self, wanted: &str, allow_with: &str) {
        self.figures.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(recorder) = &self.recorder {
            return recorder.not_granted(allow_with);
        }
        if self.is_news(wanted) {
            warn!(
                plugin = self.plugin,
                wanted = cut(wanted),
                allow_with = cut(allow_with),
                "plugin wanted what it was not granted"
            );
        }
    }

    /// Tells the operator, once, that the plugin met a limit.
    pub(super) fn limited(&self, why: &str) {
        if let Some(recorder) = &self.recorder {
            return recorder.line(Level::Warn.as_str(), why);
        }
        if self.is_news(why) {
            warn!(plugin = self.plugin, why, "plugin met a limit");
        }
    }

    fn is_news(&self, what: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD && !told.contains(what) && told.insert(what.to_owned())
    }

    /// Takes one line of this length from the budget; how many were left out before it, or none if it does not fit.
    fn spend(&self, length: usize) -> Option<u64> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let millis = u64::try_from(now.since(budget.since).as_millis()).unwrap_or(u64::MAX);
        let earned = |rate: u64| millis.saturating_mul(rate) / 1_000;
        if earned(self.lines) > 0 {
            budget.lines = budget.lines.saturating_add(earned(self.lines)).min(self.lines * BURST);
            budget.bytes = budget.bytes.saturating_add(earned(self.bytes)).min(self.bytes * BURST);
            budget.since = now;
        }
        match (budget.lines.checked_sub(1), budget.bytes.checked_sub(length as u64)) {
            (Some(lines), Some(bytes)) => {
                (budget.lines, budget.bytes) = (lines, bytes);
                Some(std::mem::take(&mut budget.left_out))
            }
            _ => {
                budget.left_out += 1;
                self.figures.log_suppressed.fetch_add(1, Ordering::Relaxed);
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

    fn loud(limits: &Limits) -> (Arc<GuestLog>, Arc<Figures>, Clock) {
        let (figures, clock) = (Arc::new(Figures::default()), Clock::manual(Timestamp(0)));
        (
            GuestLog::new("loud", limits, figures.clone(), clock.clone()),
            figures,
            clock,
        )
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let limits = Limits::default();
        let (log, figures, clock) = loud(&limits);
        let burst = limits.log_lines * 5;
        let passed = (0..1_000).filter(|_| log.spend(1).is_some()).count();
        assert_eq!(passed, burst);
        let left_out = 1_000 - burst as u64;
        assert_eq!(figures.log_suppressed.load(Ordering::Relaxed), left_out);
        clock.advance(Duration::from_millis(100));
        assert_eq!(log.spend(1), Some(left_out), "tells what was left out");
        assert_eq!(log.spend(1), None, "a tenth of a second earns one line");
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(
            (0..1_000).filter(|_| log.spend(1).is_some()).count(),
            burst,
            "silence is not saved up"
        );
    }

    #[test]
    fn long_lines_cost_more() {
        let limits = Limits {
            log_bytes: 1_000,
            ..Limits::default()
        };
        let (log, _, clock) = loud(&limits);
        assert_eq!((0..10).filter(|_| log.spend(2_000).is_some()).count(), 2);
        assert_eq!(log.spend(1_000), Some(8), "a shorter one still fits");
        clock.advance(Duration::from_secs(1));
        assert_eq!((log.spend(1_001), log.spend(1_000)), (None, Some(1)));
    }

    #[test]
    fn what_the_hub_says_it_says_once() {
        let (log, figures, _) = loud(&Limits::default());
        (0..3).for_each(|_| log.refused("tcp b:1", "grants.tcp"));
        assert!(!log.is_news("tcp b:1"));
        assert_eq!(
            figures.refused.load(Ordering::Relaxed),
            3,
            "said once, counted each time"
        );
        assert!(log.is_news("tcp a:1") && !log.is_news("tcp a:1") && log.is_news("tcp a:2"));
        let names = (0..10_000).filter(|name| log.is_news(&name.to_string())).count();
        assert_eq!(names, TOLD - 3, "made up names fill no log");
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
            log: loud(&Limits::default()).0,
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
