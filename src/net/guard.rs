//! Which places may be dialled.
//!
//! What is wanted is judged twice by the same rules: the name before it is looked up (what is refused by name costs no
//! look-up, and a look-up is a way out too), and then the address that is about to be dialled, together with the name
//! that led to it. All of this must hold:
//!
//! 1. No rule of `egress.deny` is about it, except where a rule of `egress.allow` is about it that names a true part of
//!    what the other names: `10.1.0.0/16` of `10.0.0.0/8`, `mail.example.com:25` of `*:25`. So of two rules the
//!    narrower wins; where neither is a part of the other (a name and a range, `10.0.0.0/8` and `*:25`), or both are
//!    the same, `deny` does.
//! 2. It is nothing that is never dialled ([`super::ranges`]), unless `egress.allow` has the address or a range within
//!    the closed one: `169.254.169.254`, but not `0.0.0.0/0`. An allowed name never opens it: who owns a name may let it
//!    lead anywhere.
//! 3. With `egress.deny_private`: it is not private, unless `egress.allow` has an address or a range within, or the name.
//!    Here a name does open it: the operator who writes it down vouches for where it leads.
//! 4. With `egress.allow_only`: some rule of `egress.allow` is about it.
//!
//! An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is judged as both.
//! (Rejected: "allow wins over everything", which lets `0.0.0.0/0` open the metadata service and cannot say "all of the
//! network, but not port 25".)
//!
//! Invariant: an address is judged after name resolution, and literals are judged too, in all their forms: a connector
//! that skips the resolver for literals cannot skip the guard.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use url::Host;

use super::ranges::{Closed, METADATA_NAMES, NEVER, PRIVATE, faces};
use super::rule::{Rule, Wanted, canonical};
use super::{Error, Resolver};

/// The operator's rules for where the hub may go.
#[derive(Debug, Clone, Default)]
pub struct GuardSettings {
    /// Refuse loopback and private addresses too (link-local and metadata addresses are always refused).
    pub deny_private: bool,
    /// What may be dialled although something wider is refused.
    pub allow: Vec<Rule>,
    /// What may not be dialled.
    pub deny: Vec<Rule>,
    /// Nothing but what `allow` names is dialled.
    pub allow_only: bool,
    /// Who looks names up.
    pub resolver: Resolver,
}

/// Says which places may be dialled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<GuardSettings>, Arc<Refusals>);

/// How often each rule refused.
#[derive(Debug, Default)]
struct Refusals([AtomicU64; RULES.len()]);

/// The rules, as they are counted: `deny`, what is never dialled, `deny_private`, `allow_only`.
const RULES: [&str; 4] = ["deny", "closed", "private", "allow_only"];

impl Refusals {
    fn count(&self, rule: &'static str) {
        let counter = RULES.iter().zip(&self.0).find(|(name, _)| **name == rule);
        if let Some((_, counter)) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A place that may not be dialled, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The place: an address, or a name.
    pub place: String,
    /// The rule that forbids it, in words, and what would allow it.
    pub rule: String,
    /// Whether only a look-up led to the place: another look-up may lead elsewhere.
    pub looked_up: bool,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} may not be dialled: {}", self.place, self.rule)
    }
}

impl Guard {
    /// A guard with these rules.
    pub fn new(settings: GuardSettings) -> Self {
        Self(Arc::new(settings), Arc::default())
    }

    /// How often each rule has refused a place since the start, here and in all clones.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.1.0.iter().map(|count| count.load(Ordering::Relaxed));
        RULES.into_iter().zip(counts)
    }

    /// Whether an address that no name led to may be dialled.
    ///
    /// # Errors
    /// The address and the rule that forbids it.
    pub fn check(&self, address: SocketAddr) -> Result<(), Blocked> {
        self.judge(None, address)
    }

    /// Whether an address may be dialled to which these names led; none: it is asked for outright.
    ///
    /// # Errors
    /// The address and the rule that forbids it, if all names lead there in vain.
    pub(super) fn check_led(&self, names: &[String], address: SocketAddr) -> Result<(), Blocked> {
        let mut refused = None;
        for name in names {
            match self.judge(Some(name), address) {
                Ok(()) => return Ok(()),
                Err(blocked) => refused = refused.or(Some(blocked)),
            }
        }
        refused.map_or_else(|| self.check(address), Err)
    }

    /// What can be told of a host before it is looked up: everything of an address, of a name what the rules for names
    /// say. Port 0: not known yet.
    ///
    /// # Errors
    /// The place and the rule that forbids it.
    pub fn admit(&self, host: &str, port: u16) -> Result<(), Blocked> {
        match canonical(host) {
            Some(Host::Domain(name)) => self.judge_name(&name, port),
            Some(Host::Ipv4(address)) => self.check(SocketAddr::new(address.into(), port)),
            Some(Host::Ipv6(address)) => self.check(SocketAddr::new(address.into(), port)),
            // No host at all: there is nothing to refuse, and nothing will be found.
            None => Ok(()),
        }
    }

    /// Resolves a name (or takes an address, with or without brackets) and keeps only what may be dialled.
    ///
    /// # Errors
    /// [`Error::Resolve`] if there is no address, [`Error::Blocked`] if all there are may not be dialled.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let name = match canonical(host) {
            Some(Host::Domain(name)) => name,
            Some(Host::Ipv4(address)) => return self.literal(SocketAddr::new(address.into(), port)),
            Some(Host::Ipv6(address)) => return self.literal(SocketAddr::new(address.into(), port)),
            None => return Err(Error::Resolve(format!("`{host}` is no host name"))),
        };
        self.judge_name(&name, port).map_err(Error::Blocked)?;
        // With the dot at its end a name is looked up as it is, without the machine's search domains.
        let asked = if host.ends_with('.') {
            format!("{name}.")
        } else {
            name.clone()
        };
        let found = self.0.resolver.look_up(&asked).await?;
        let mut refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found.iter().map(|ip| SocketAddr::new(*ip, port)) {
            match self.judge(Some(&name), address) {
                Ok(()) => allowed.push(address),
                Err(blocked) => refused = refused.or(Some(blocked)),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(blocked)) => Err(Error::Blocked(blocked)),
            (true, None) => Err(Error::Resolve(format!("{name}: the name has no address"))),
        }
    }

    /// Whether a proxy may be asked to take a request to this host further. The proxy resolves names, so only what can be
    /// told before a look-up is judged here, and the name of this very machine.
    ///
    /// # Errors
    /// The place and the rule that forbids it.
    pub fn allows_through_proxy(&self, host: &str, port: u16) -> Result<(), Blocked> {
        if let Some(Host::Domain(name)) = canonical(host)
            && (name == "localhost" || name.ends_with(".localhost"))
        {
            self.judge(Some(&name), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))?;
        }
        self.admit(host, port)
    }

    fn literal(&self, address: SocketAddr) -> Result<Vec<SocketAddr>, Error> {
        self.check(address).map_err(Error::Blocked)?;
        Ok(vec![address])
    }

    /// The rules on an address, and on the name that led to it.
    fn judge(&self, name: Option<&str>, address: SocketAddr) -> Result<(), Blocked> {
        let faces = faces(address.ip());
        let wanted = Wanted {
            name,
            faces: &faces,
            port: known(address.port()),
        };
        let rule = self
            .denied(&wanted)
            .map(|words| ("deny", words))
            .or_else(|| {
                self.closed(&wanted, NEVER)
                    .map(|closed| ("closed", never(closed, address)))
            })
            .or_else(|| self.private(&wanted, address).map(|words| ("private", words)))
            .or_else(|| self.not_listed(&wanted).map(|words| ("allow_only", words)));
        let place = || match name {
            Some(name) => format!("the address {} (of {name})", address.ip()),
            None => format!("the address {}", address.ip()),
        };
        rule.map_or(Ok(()), |(name_of_rule, rule)| {
            self.1.count(name_of_rule);
            Err(Blocked {
                place: place(),
                rule,
                looked_up: name.is_some(),
            })
        })
    }

    /// The rules on a name whose addresses are not known.
    fn judge_name(&self, name: &str, port: u16) -> Result<(), Blocked> {
        let wanted = Wanted {
            name: Some(name),
            faces: &[],
            port: known(port),
        };
        let rule = self
            .denied(&wanted)
            .map(|words| ("deny", words))
            .or_else(|| self.metadata(name).map(|words| ("closed", words)))
            .or_else(|| self.not_listed(&wanted).map(|words| ("allow_only", words)));
        rule.map_or(Ok(()), |(name_of_rule, rule)| {
            self.1.count(name_of_rule);
            Err(Blocked {
                place: format!("the name {name}"),
                rule,
                looked_up: false,
            })
        })
    }

    /// Rule 1.
    fn denied(&self, wanted: &Wanted<'_>) -> Option<String> {
        let excepted = |denied: &Rule| {
            self.0.allow.iter().any(|allowed| {
                allowed.is_part_of(denied) && (allowed.is_about(wanted) || self.may_turn_out(allowed, wanted))
            })
        };
        let rule = self
            .0
            .deny
            .iter()
            .find(|rule| rule.is_about(wanted) && !excepted(rule))?;
        Some(format!(
            "`egress.deny` has \"{rule}\"; a narrower rule in `egress.allow` would except it"
        ))
    }

    /// Rule 2 and, in part, 3: the closed range that it is in and that no allowed range opens.
    fn closed<'a>(&self, wanted: &Wanted<'_>, table: &'a [Closed]) -> Option<&'a Closed> {
        table.iter().find(|closed| {
            let faces = || wanted.faces.iter().filter(|face| closed.range.contains(*face));
            let opens = |face: &IpAddr, range: &IpNet| range.contains(face) && closed.range.contains(range);
            faces().any(|face| {
                let mut open = self.0.allow.iter().filter(|rule| rule.may_have_port(wanted));
                !open.any(|rule| rule.range().is_some_and(|range| opens(face, range)))
            })
        })
    }

    /// Rule 2 for names.
    fn metadata(&self, name: &str) -> Option<String> {
        let is_metadata = METADATA_NAMES.contains(&name) && !self.0.allow.iter().any(|rule| rule.is_name(name));
        is_metadata.then(|| "names of clouds' metadata services are never looked up".to_owned())
    }

    /// Rule 3.
    fn private(&self, wanted: &Wanted<'_>, address: SocketAddr) -> Option<String> {
        let vouched = || {
            self.0
                .allow
                .iter()
                .any(|rule| rule.is_by_name() && rule.may_be_about(wanted))
        };
        if !self.0.deny_private || vouched() {
            return None;
        }
        let closed = self.closed(wanted, PRIVATE)?;
        Some(format!(
            "{} are refused by `egress.deny_private`, unless `egress.allow` has \"{}\" or a name that leads there",
            closed.what,
            exactly(address)
        ))
    }

    /// Rule 4.
    fn not_listed(&self, wanted: &Wanted<'_>) -> Option<String> {
        let mut allow = self.0.allow.iter();
        let listed =
            !self.0.allow_only || allow.any(|rule| rule.may_be_about(wanted) || self.may_turn_out(rule, wanted));
        (!listed).then(|| "`egress.allow_only` is set, and `egress.allow` does not have it".to_owned())
    }

    /// Whether a rule for addresses may turn out to be about a name that is not looked up yet.
    fn may_turn_out(&self, rule: &Rule, wanted: &Wanted<'_>) -> bool {
        wanted.faces.is_empty() && rule.range().is_some() && rule.may_have_port(wanted)
    }
}

fn known(port: u16) -> Option<u16> {
    (port != 0).then_some(port)
}

fn never(closed: &Closed, address: SocketAddr) -> String {
    format!(
        "{} are never dialled, unless `egress.allow` has \"{}\"",
        closed.what,
        exactly(address)
    )
}

/// The rule that is about this address alone.
fn exactly(address: SocketAddr) -> String {
    match address.port() {
        0 => address.ip().to_string(),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests;
