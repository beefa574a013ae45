//! Which addresses may be dialled.
//!
//! Order of the rules: `allow` wins over everything, then `deny`, then what is always refused, then `deny_private`.
//! An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4) is also judged by the one inside, or
//! `::ffff:169.254.169.254` would be the way around.
//! Invariant: an address is judged after name resolution, and literals are judged too: a connector that skips the
//! resolver for literals cannot skip the guard.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::Error;

/// The operator's rules for addresses.
#[derive(Debug, Clone, Default)]
pub struct GuardSettings {
    /// Refuse loopback and private addresses too (link-local and metadata addresses are always refused).
    pub deny_private: bool,
    /// Ranges allowed whatever the rest says.
    pub allow: Vec<IpNet>,
    /// Ranges refused.
    pub deny: Vec<IpNet>,
}

/// Says which addresses may be dialled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard(Arc<GuardSettings>);

/// An address that may not be dialled, and the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The address.
    pub address: IpAddr,
    /// The rule that forbids it, in words.
    pub rule: &'static str,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address {} may not be dialled: {}", self.address, self.rule)
    }
}

impl Guard {
    /// A guard with these rules.
    pub fn new(settings: GuardSettings) -> Self {
        Self(Arc::new(settings))
    }

    /// Whether an address, after name resolution, may be dialled.
    ///
    /// # Errors
    /// The address and the rule that forbids it.
    pub fn check(&self, address: SocketAddr) -> Result<(), Blocked> {
        let ip = address.ip();
        match self.verdict(ip) {
            Some(rule) => Err(Blocked { address: ip, rule }),
            None => Ok(()),
        }
    }

    /// Resolves a name (or takes a literal, with or without brackets) and keeps only what may be dialled.
    ///
    /// # Errors
    /// [`Error::Resolve`] if there is no address, [`Error::Blocked`] if all there are may not be dialled.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let found: Vec<SocketAddr> = match literal(host) {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => match tokio::net::lookup_host((host, port)).await {
                Ok(found) => found.collect(),
                Err(error) => return Err(Error::Resolve(format!("{host}: {error}"))),
            },
        };
        let mut refused = None;
        let mut allowed = Vec::with_capacity(found.len());
        for address in found {
            match self.check(address) {
                Ok(()) => allowed.push(address),
                Err(blocked) => refused = refused.or(Some(blocked)),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(blocked)) => Err(Error::Blocked(blocked)),
            (true, None) => Err(Error::Resolve(format!("{host}: no address"))),
        }
    }

    /// Whether a proxy may be asked to take a request to this host further. The proxy resolves names, so only what is
    /// an address as it stands (in whatever notation), or the name of this very machine, can be judged here.
    ///
    /// # Errors
    /// [`Error::Blocked`].
    pub fn allows_through_proxy(&self, host: &str, port: u16) -> Result<(), Error> {
        let ip = match url::Host::parse(host) {
            Ok(url::Host::Ipv4(v4)) => IpAddr::V4(v4),
            Ok(url::Host::Ipv6(v6)) => IpAddr::V6(v6),
            Ok(url::Host::Domain(name)) => match name.trim_end_matches('.') {
                "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
                name if name.ends_with(".localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
                _ => return Ok(()),
            },
            Err(error) => return Err(Error::Connect(format!("the host {host}: {error}"))),
        };
        self.check(SocketAddr::new(ip, port)).map_err(Error::Blocked)
    }

    /// The rule that forbids an address, if one does.
    fn verdict(&self, ip: IpAddr) -> Option<&'static str> {
        let inner = carried(ip);
        let faces = [Some(ip), inner.map(IpAddr::V4)];
        let listed = |ranges: &[IpNet]| {
            faces
                .iter()
                .flatten()
                .any(|face| ranges.iter().any(|range| range.contains(face)))
        };
        if listed(&self.0.allow) {
            return None;
        }
        if listed(&self.0.deny) {
            return Some("the operator's egress.deny has it");
        }
        let judge = |rule: fn(IpAddr) -> Option<&'static str>| faces.iter().flatten().find_map(|face| rule(*face));
        match self.0.deny_private {
            true => judge(always_refused).or_else(|| judge(private)),
            false => judge(always_refused),
        }
    }
}

/// A host that is an address, not a name: `10.0.0.1`, `::1`, `[::1]`.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// What nobody delivers to: addresses of the link, of clouds' metadata services, and of no single host.
fn always_refused(ip: IpAddr) -> Option<&'static str> {
    const METADATA_ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const METADATA_AWS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => Some("link-local and metadata addresses are never dialled"),
        IpAddr::V4(METADATA_ALIBABA) | IpAddr::V6(METADATA_AWS_V6) => Some("metadata addresses are never dialled"),
        // All of 0/8 means "this host" to some stacks.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("the unspecified address is never dialled"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address is never dialled"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("the unspecified address is never dialled"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local addresses are never dialled"),
        _ if ip.is_multicast() => Some("multicast addresses are never dialled"),
        _ => None,
    }
}

/// What `deny_private` adds.
fn private(ip: IpAddr) -> Option<&'static str> {
    let shared = |v4: Ipv4Addr| v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
    let is_private = match ip {
        IpAddr::V4(v4) => v4.is_private() || shared(v4),
        // fec0::/10 is the old site-local range.
        IpAddr::V6(v6) => v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0,
    };
    match ip.is_loopback() {
        true => Some("loopback addresses are refused by egress.deny_private"),
        false if is_private => Some("private addresses are refused by egress.deny_private"),
        false => None,
    }
}

/// The IPv4 address that an IPv6 address carries, if it is of a kind that does.
fn carried(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        // ::1 and :: are themselves, not IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0] if g == 0 && h <= 1 => None,
        // Compatible ::a.b.c.d, mapped ::ffff:a.b.c.d, translated ::ffff:0:a.b.c.d.
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => Some(join(g, h)),
        // NAT64, the well-known prefix and the local one.
        [0x64, 0xff9b, 0 | 1, 0, 0, 0] => Some(join(g, h)),
        // 6to4.
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Says {
        Yes,
        No,
        OnlyIfPrivateIs,
    }
    use Says::*;

    fn verdict(settings: &GuardSettings, ip: &str) -> bool {
        let address = SocketAddr::new(ip.parse().unwrap(), 80);
        Guard::new(settings.clone()).check(address).is_ok()
    }

    #[test]
    fn every_range_has_its_rule() {
        let open = GuardSettings::default();
        let strict = GuardSettings {
            deny_private: true,
            ..GuardSettings::default()
        };
        let table = [
            ("93.184.216.34", Yes),
            ("2606:2800:220:1::1", Yes),
            ("169.254.0.1", No),
            ("169.254.169.254", No),
            ("100.100.100.200", No),
            ("0.0.0.0", No),
            ("0.1.2.3", No),
            ("224.0.0.1", No),
            ("239.255.255.255", No),
            ("255.255.255.255", No),
            ("::", No),
            ("fe80::1", No),
            ("febf::1", No),
            ("ff02::1", No),
            ("fd00:ec2::254", No),
            ("::ffff:169.254.169.254", No),
            ("::169.254.169.254", No),
            ("::ffff:0:169.254.169.254", No),
            ("64:ff9b::a9fe:a9fe", No),
            ("64:ff9b:1::a9fe:a9fe", No),
            ("2002:a9fe:a9fe::1", No),
            ("64:ff9b::5db8:d822", Yes),
            ("::ffff:93.184.216.34", Yes),
            ("127.0.0.1", OnlyIfPrivateIs),
            ("127.255.0.9", OnlyIfPrivateIs),
            ("::1", OnlyIfPrivateIs),
            ("10.0.0.1", OnlyIfPrivateIs),
            ("172.16.0.1", OnlyIfPrivateIs),
            ("172.31.255.255", OnlyIfPrivateIs),
            ("172.32.0.1", Yes),
            ("192.168.1.1", OnlyIfPrivateIs),
            ("100.64.0.1", OnlyIfPrivateIs),
            ("100.127.255.255", OnlyIfPrivateIs),
            ("100.128.0.1", Yes),
            ("fc00::1", OnlyIfPrivateIs),
            ("fd12::1", OnlyIfPrivateIs),
            ("fec0::1", OnlyIfPrivateIs),
            ("::ffff:127.0.0.1", OnlyIfPrivateIs),
            ("64:ff9b::7f00:1", OnlyIfPrivateIs),
            ("2002:0a00:0001::1", OnlyIfPrivateIs),
        ];
        for (ip, says) in table {
            assert_eq!(verdict(&open, ip), says != No, "{ip} by default");
            assert_eq!(verdict(&strict, ip), says == Yes, "{ip} with deny_private");
        }
    }

    #[test]
    fn the_lists_go_first_and_allow_wins() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let listed = GuardSettings {
            deny_private: true,
            allow: vec![net("10.1.0.0/16"), net("169.254.169.254/32"), net("127.0.0.1/32")],
            deny: vec![net("10.0.0.0/8"), net("93.184.0.0/16"), net("127.0.0.0/8")],
        };
        let table = [
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("169.254.169.254", true),
            ("169.254.1.1", false),
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("93.184.216.34", false),
            ("::ffff:93.184.216.34", false),
            ("8.8.8.8", true),
        ];
        for (ip, allowed) in table {
            assert_eq!(verdict(&listed, ip), allowed, "{ip}");
        }
    }

    #[tokio::test]
    async fn literals_are_judged_like_names() {
        let guard = Guard::new(GuardSettings::default());
        assert!(matches!(
            guard.resolve("169.254.169.254", 80).await,
            Err(Error::Blocked(_))
        ));
        assert!(matches!(
            guard.resolve("[::ffff:169.254.169.254]", 80).await,
            Err(Error::Blocked(_))
        ));
        assert!(matches!(guard.resolve("[fe80::1]", 80).await, Err(Error::Blocked(_))));
        assert_eq!(guard.resolve("[::1]", 81).await.unwrap(), ["[::1]:81".parse().unwrap()]);
        assert!(!guard.resolve("localhost", 80).await.unwrap().is_empty());
        let strict = Guard::new(GuardSettings {
            deny_private: true,
            ..GuardSettings::default()
        });
        assert!(matches!(strict.resolve("localhost", 80).await, Err(Error::Blocked(_))));
    }
}
