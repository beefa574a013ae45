//! The options of this system, with what the live service allows as defaults.

use std::time::Duration;

use crate::log::BusName;

/// Options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it is served.
    pub on: bool,
    /// The account that everything here belongs to.
    pub account: String,
    /// The region that this hub stands for.
    pub region: String,
    /// How `aliyunpublishtime` is written.
    pub publish_time: PublishTime,
    /// Webhook sources that need no call to exist.
    pub webhooks: Vec<Webhook>,
    /// Whether pushes to HTTP targets are signed.
    pub sign: bool,
    /// One push to an HTTP target.
    pub timeout: Duration,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of what may be made and put.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Custom buses.
    pub buses: usize,
    /// Rules of one bus.
    pub rules: usize,
    /// Targets of one rule.
    pub targets: usize,
    /// Events of one PutEvents.
    pub batch_events: usize,
    /// One event, in bytes.
    pub event_bytes: usize,
    /// One PutEvents, in bytes.
    pub batch_bytes: usize,
}

/// How `aliyunpublishtime` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishTime {
    /// `2020-11-19T21:04:42.179PRC`: local time with the zone's name, as the service's documents show it.
    Prc,
    /// `2022-03-03T03:33:14.097Z`.
    Utc,
}

/// A webhook source of the config.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The source's name.
    pub name: String,
    /// The bus that it puts events on.
    pub bus: BusName,
    /// What its URL must carry.
    pub token: String,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({}@{})", self.name, self.bus)
    }
}

impl Webhook {
    /// Reads `NAME@BUS=TOKEN` or `NAME=TOKEN`; the token may be `file:PATH` or `env:NAME`.
    ///
    /// # Errors
    /// Completes the sentence "`key` …"; never shows the token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((place, token)) = text.split_once('=') else {
            return Err("must hold sources as `NAME@BUS=TOKEN`, the token as `file:PATH` or `env:NAME` too".to_owned());
        };
        let (name, bus) = place.split_once('@').unwrap_or((place, "default"));
        let bus = BusName::parse(bus).map_err(|error| format!("names a bus that is none: {error}"))?;
        let token = crate::access::value_of(&format!("the token of `{name}`"), token)?;
        if name.is_empty() || token.len() < 8 {
            return Err(format!(
                "must give `{name}` a name, and a token of at least 8 characters"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            bus,
            token,
        })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            account: "1234567890123456".to_owned(),
            region: "cn-hangzhou".to_owned(),
            publish_time: PublishTime::Prc,
            webhooks: Vec::new(),
            sign: true,
            timeout: Duration::from_secs(5),
            limits: Limits {
                buses: 50,
                rules: 50,
                targets: 5,
                batch_events: 16,
                event_bytes: 256 << 10,
                batch_bytes: 1 << 20,
            },
        }
    }
}
