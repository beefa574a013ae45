//! The small notations of the config: sizes, durations, addresses, switches, lists.
//!
//! Every reader takes what was [`Given`] and answers with a rule that completes the sentence "`key` …".
//! Invariant: an [`Address`] reads back from what it shows.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::net::Rule;
use crate::units::{DURATION_RULE, SIZE_RULE, parse_duration, parse_size};

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
        parse_size(word).ok_or_else(|| format!("must be {SIZE_RULE}, not `{word}`"))
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

    /// Rules of the egress guard: `10.0.0.0/8`, `*.example.com:443`, `*:25`.
    pub fn rules(&self) -> Result<Vec<Rule>, String> {
        self.list().iter().map(|item| item.parse()).collect()
    }
}

/// Reads one duration.
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    parse_duration(word).ok_or_else(|| format!("must be {DURATION_RULE}, not `{word}`"))
}

/// A place to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The same, with TLS on it.
    Tls(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`, the same after `tls:`, or `unix:/run/busway.sock`.
    pub fn parse(word: &str) -> Result<Self, String> {
        if let Some(path) = word.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("needs a path after `unix:`".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let (make, place): (fn(SocketAddr) -> Self, _) = match word.strip_prefix("tls:") {
            Some(place) => (Self::Tls, place),
            None => (Self::Tcp, word),
        };
        if let Some(port) = place.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(make(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        place.parse().map(make).map_err(|_| {
            format!(
                "must hold addresses such as `127.0.0.1:8080`, `tls:127.0.0.1:8443`, `[::1]:8080` or \
                 `unix:/run/busway.sock`, not `{word}`"
            )
        })
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Its URL, if it has one.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Tcp(address) => Some(format!("http://{address}")),
            Self::Tls(address) => Some(format!("https://{address}")),
            Self::Unix(_) => None,
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_)) || self.is_loopback()
    }

    /// Whether a web browser on this machine can reach it, and nothing elsewhere.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Tcp(address) | Self::Tls(address) if address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Tls(address) => write!(f, "tls:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
