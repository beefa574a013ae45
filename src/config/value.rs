//! The small notations of the config: sizes, durations, addresses, switches, lists.
//!
//! Every reader takes what was [`Given`] and answers with a rule that completes the sentence "`key` …".
//! Invariant: what a `show_…` writes, its reader reads back to the same value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was written: one word, or the items of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// One value. A reader of lists splits it at commas.
    One(String),
    /// A TOML array, or a flag that was repeated.
    Many(Vec<String>),
}

impl Given {
    /// One value.
    pub fn text(text: &str) -> Self {
        Self::One(text.to_owned())
    }

    /// The one word, where a list makes no sense.
    pub fn word(&self) -> Result<&str, String> {
        match self {
            Self::One(word) => Ok(word.trim()),
            Self::Many(words) => match words.as_slice() {
                [word] => Ok(word.trim()),
                _ => Err("takes one value, not a list".to_owned()),
            },
        }
    }

    /// The items of a list; one word is split at commas, an empty word is an empty list.
    pub fn list(&self) -> Vec<String> {
        let parts: Vec<&str> = match self {
            Self::One(word) => word.split(',').collect(),
            Self::Many(words) => words.iter().map(String::as_str).collect(),
        };
        parts
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// `true` or `false`.
    pub fn switch(&self) -> Result<bool, String> {
        match self.word()? {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            other => Err(format!("must be `true` or `false`, not `{other}`")),
        }
    }

    /// A whole number within a range.
    pub fn count(&self, least: u64, most: u64) -> Result<u64, String> {
        let word = self.word()?;
        let rule = || format!("must be a whole number from {least} to {most}, not `{word}`");
        let number: u64 = word.replace('_', "").parse().map_err(|_| rule())?;
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(rule())
        }
    }

    /// A size: `64MiB`, `1GB`, `512` (bytes).
    pub fn size(&self) -> Result<u64, String> {
        let word = self.word()?;
        let rule = || format!("must be a size such as `64MiB` or `1GB`, not `{word}`");
        let at = word
            .find(|c: char| !c.is_ascii_digit() && c != '_')
            .unwrap_or(word.len());
        let (number, unit) = word.split_at_checked(at).ok_or_else(rule)?;
        let number: u64 = number.replace('_', "").parse().map_err(|_| rule())?;
        let factor = SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
            .ok_or_else(rule)?
            .1;
        number.checked_mul(factor).ok_or_else(rule)
    }

    /// A size, or `none`.
    pub fn size_or_none(&self) -> Result<Option<u64>, String> {
        if self.word()? == "none" {
            Ok(None)
        } else {
            self.size().map(Some)
        }
    }

    /// A duration: `10s`, `500ms`, `1h30m`, `7d`.
    pub fn duration(&self) -> Result<Duration, String> {
        duration(self.word()?)
    }

    /// A duration, or `none`.
    pub fn duration_or_none(&self) -> Result<Option<Duration>, String> {
        if self.word()? == "none" {
            Ok(None)
        } else {
            self.duration().map(Some)
        }
    }

    /// Ranges of addresses: `10.0.0.0/8`, or one address.
    pub fn ranges(&self) -> Result<Vec<ipnet::IpNet>, String> {
        let range = |item: &String| {
            let one = || item.parse::<IpAddr>().ok().map(ipnet::IpNet::from);
            let parsed = item.parse::<ipnet::IpNet>().ok().or_else(one);
            parsed.ok_or_else(|| format!("must hold address ranges such as `10.0.0.0/8`, not `{item}`"))
        };
        self.list().iter().map(range).collect()
    }
}

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads one duration.
pub fn duration(word: &str) -> Result<Duration, String> {
    let rule = || format!("must be a duration with its unit, such as `10s`, `500ms` or `1h30m`, not `{word}`");
    let mut rest = word;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(rule)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(rule)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, left) = after.split_at_checked(letters).ok_or_else(rule)?;
        let number: u64 = number.parse().map_err(|_| rule())?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(rule)?.1;
        total = number
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(rule)?;
        rest = left;
    }
    if word.is_empty() {
        Err(rule())
    } else {
        Ok(Duration::from_millis(total))
    }
}

/// A duration in the notation that [`duration`] reads.
pub fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in UNITS.iter().rev() {
        let number = left / factor;
        left %= factor;
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size in the largest binary unit that divides it.
pub fn show_size(bytes: u64) -> String {
    const BINARY: &[(&str, u64)] = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = BINARY
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080` or `unix:/run/busway.sock`.
    pub fn parse(word: &str) -> Result<Self, String> {
        if let Some(path) = word.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("needs a path after `unix:`".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(port) = word.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        word.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "must hold addresses such as `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/busway.sock`, not `{word}`"
            )
        })
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The known name nearest to an unknown one, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min()?;
    (best.0 <= 2.max(name.len() / 3)).then_some(best.1)
}

/// Edits (insert, remove, change) between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, left) in a.chars().enumerate() {
        let mut next = vec![line + 1];
        for (right, above) in b.iter().zip(row.windows(2)) {
            let [diagonal, up] = above else { continue };
            let before = next.last().copied().unwrap_or(usize::MAX);
            next.push((diagonal + usize::from(left != *right)).min(up + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
