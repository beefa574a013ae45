//! One item of `egress.allow` or `egress.deny`: a range of addresses, a name, or everything; and maybe one port of it.
//!
//! Names are compared as they go to the resolver: in lower case, in punycode, without the dot at the end.
//! `*.example.com` is every name below `example.com`, at any depth, and not `example.com` itself.
//! Invariant: a rule reads back from what it shows.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Host;

/// A rule of the operator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    place: Place,
    /// None: every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Everywhere,
    Range(IpNet),
    Name(String),
    /// Every name below this one.
    Below(String),
}

/// What somebody wants to dial, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The name that led there, as [`canonical`] writes it.
    pub(super) name: Option<&'a str>,
    /// The address with all that it carries; empty before the look-up.
    pub(super) faces: &'a [IpAddr],
    /// None where a name is looked up before anybody says which port.
    pub(super) port: Option<u16>,
}

impl Rule {
    /// Whether it is about this, for certain.
    pub(super) fn is_about(&self, wanted: &Wanted<'_>) -> bool {
        self.has_place(wanted) && self.port.is_none_or(|port| wanted.port == Some(port))
    }

    /// The same, where a port that is not known yet may turn out to be the rule's.
    pub(super) fn may_be_about(&self, wanted: &Wanted<'_>) -> bool {
        self.has_place(wanted) && self.may_have_port(wanted)
    }

    /// Whether the port does not speak against it.
    pub(super) fn may_have_port(&self, wanted: &Wanted<'_>) -> bool {
        self.port.is_none() || wanted.port.is_none() || self.port == wanted.port
    }

    /// Whether it names a true part of what the other names.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        self != other && self.place.is_within(&other.place) && (other.port.is_none() || other.port == self.port)
    }

    /// The range, if it is one.
    pub(super) fn range(&self) -> Option<&IpNet> {
        match &self.place {
            Place::Range(range) => Some(range),
            _ => None,
        }
    }

    /// Whether it names names, and not everything.
    pub(super) fn is_by_name(&self) -> bool {
        matches!(self.place, Place::Name(_) | Place::Below(_))
    }

    /// Whether it is this one name.
    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(&self.place, Place::Name(own) if own == name)
    }

    fn has_place(&self, wanted: &Wanted<'_>) -> bool {
        match &self.place {
            Place::Everywhere => true,
            Place::Range(range) => wanted.faces.iter().any(|face| range.contains(face)),
            Place::Name(own) => wanted.name == Some(own.as_str()),
            Place::Below(parent) => wanted.name.is_some_and(|name| is_below(name, parent)),
        }
    }
}

impl Place {
    fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Everywhere) => true,
            (Self::Range(own), Self::Range(other)) => other.contains(own),
            (Self::Name(own), Self::Name(other)) => own == other,
            (Self::Name(own), Self::Below(parent)) => is_below(own, parent),
            (Self::Below(own), Self::Below(parent)) => own == parent || is_below(own, parent),
            _ => false,
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(|rest| !rest.is_empty())
}

/// A host as the rules compare it: an address in any of its forms (`127.1`, `0x7f000001`, `[::1]`, `①②⑦.⓪.⓪.①`) is that
/// address, a name is in lower case and punycode, without the dot at its end.
pub(super) fn canonical(host: &str) -> Option<Host<String>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(match address {
            IpAddr::V4(four) => Host::Ipv4(four),
            IpAddr::V6(six) => Host::Ipv6(six),
        });
    }
    match Host::parse(host).ok()? {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(&name);
            (!name.is_empty()).then(|| Host::Domain(name.to_owned()))
        }
        address => Some(address),
    }
}

impl FromStr for Rule {
    type Err = String;

    /// Reads `10.0.0.0/8`, `10.0.0.5:443`, `[fd00::/8]:443`, `example.com`, `*.example.com:443` or `*:25`; says what is
    /// wrong as the end of a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must hold address ranges such as `10.0.0.0/8`, names such as `example.com` or `*.example.com`, or `*`, \
                 each with a port if need be (`10.0.0.0/8:443`, `[fd00::/8]:443`, `*:25`), not `{text}`"
            )
        };
        if let Some(range) = range(text) {
            let place = Place::Range(range);
            return Ok(Self { place, port: None });
        }
        let (place, port) = match text.rsplit_once(':') {
            Some((place, port)) if !port.ends_with(']') => (place, Some(port)),
            _ => (text, None),
        };
        let port = port.map(|port| port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong));
        let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let place = match (range(bare.unwrap_or(place)), place) {
            (Some(range), _) => Place::Range(range),
            (None, "*") => Place::Everywhere,
            (None, name) => named(name).ok_or_else(wrong)?,
        };
        let port = port.transpose()?;
        Ok(Self { place, port })
    }
}

fn range(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    Some(text.parse::<IpNet>().ok().or_else(one)?.trunc())
}

fn named(text: &str) -> Option<Place> {
    let (below, name) = match text.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, text),
    };
    if name.contains(['*', '/', '[', '%', '@']) {
        return None;
    }
    match (canonical(name)?, below) {
        (Host::Domain(name), true) => Some(Place::Below(name)),
        (Host::Domain(name), false) => Some(Place::Name(name)),
        // An address in a form that is not written so here: `127.1`.
        _ => None,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Everywhere => f.write_str("*")?,
            Place::Range(range) => {
                let one = range.prefix_len() == range.max_prefix_len();
                let text = if one {
                    range.addr().to_string()
                } else {
                    range.to_string()
                };
                match (range, self.port) {
                    (IpNet::V6(_), Some(_)) => write!(f, "[{text}]")?,
                    _ => f.write_str(&text)?,
                }
            }
            Place::Name(name) => f.write_str(name)?,
            Place::Below(parent) => write!(f, "*.{parent}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_reads_back_from_what_it_shows() {
        let check = |text: &str, shown: &str| {
            assert_eq!(rule(text).to_string(), shown, "{text}");
            assert_eq!(rule(shown), rule(text), "{shown}");
        };
        for same in [
            "10.0.0.0/8",
            "10.0.0.0/8:443",
            "10.0.0.5",
            "10.0.0.5:25",
            "fd00::/8",
            "::1",
            "*",
            "*:25",
        ] {
            check(same, same);
        }
        check("[fd00::/8]:443", "[fd00::/8]:443");
        check("[::1]:80", "[::1]:80");
        check("[::1]", "::1");
        check("10.1.2.3/8", "10.0.0.0/8");
        check("Example.COM.", "example.com");
        check("*.Example.com:443", "*.example.com:443");
        check("bücher.example", "xn--bcher-kva.example");
        check("my_service", "my_service");
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for wrong in [
            "",
            "10/8",
            "10.0.0.0/33",
            "a.*.com",
            "*a.com",
            "**",
            "*.",
            "*.*",
            "a b",
            "example.com:0",
            "example.com:70000",
            "example.com:",
            "http://example.com",
            "user@example.com",
            "127.1",
            "0x7f000001",
            "[fd00::/8",
            "10.0.0.0/8:x",
        ] {
            let why = wrong.parse::<Rule>().unwrap_err();
            assert!(why.contains("must hold address ranges"), "{wrong}: {why}");
        }
    }

    #[test]
    fn a_part_is_narrower_in_place_and_port() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(rule(one).is_part_of(&rule(other)), expected, "{one} in {other}");
        };
        check("10.1.0.0/16", "10.0.0.0/8", true);
        check("10.0.0.0/8", "10.0.0.0/8", false);
        check("10.0.0.0/8", "10.1.0.0/16", false);
        check("10.0.0.0/8:443", "10.0.0.0/8", true);
        check("10.1.0.0/16", "10.0.0.0/8:443", false);
        check("10.1.0.0/16:443", "10.0.0.0/8:443", true);
        check("10.0.0.5:25", "*:25", true);
        check("10.0.0.5", "*:25", false);
        check("a.example.com", "*.example.com", true);
        check("*.a.example.com", "*.example.com", true);
        check("example.com", "*.example.com", false);
        check("notexample.com", "*.example.com", false);
        check("mail.example.com:25", "*:25", true);
        check("a.example.com", "10.0.0.0/8", false);
        check("10.0.0.1", "*.example.com", false);
    }
}
