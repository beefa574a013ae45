//! Addresses that are closed without a word of the operator's, and the addresses that others carry inside.
//!
//! The lists follow IANA's registries of special-purpose addresses (RFC 6890 and its updates) and the manuals of the
//! clouds, whose metadata services hand credentials to whoever asks from inside.
//! Invariant: an IPv6 address that carries an IPv4 one is judged as both, or `::ffff:169.254.169.254` would be the way
//! around.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range that is closed, and why.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) range: IpNet,
    /// `… are never dialled`, `… are refused by egress.deny_private`.
    pub(super) what: &'static str,
}

const METADATA: &str = "metadata addresses of clouds";
const LINK: &str = "link-local addresses, where clouds keep their metadata,";
const UNSPECIFIED: &str = "unspecified addresses";
const MULTICAST: &str = "multicast addresses";

/// Never dialled: the link, metadata services, and what is no single host.
pub(super) const NEVER: &[Closed] = &[
    four([169, 254, 0, 0], 16, LINK),
    four([100, 100, 100, 200], 32, METADATA), // Alibaba Cloud
    four([168, 63, 129, 16], 32, METADATA),   // Azure's wire server
    four([192, 0, 0, 192], 32, METADATA),     // Oracle Cloud
    // All of 0/8 means "this host" to some stacks.
    four([0, 0, 0, 0], 8, UNSPECIFIED),
    four([255, 255, 255, 255], 32, "broadcast addresses"),
    four([224, 0, 0, 0], 4, MULTICAST),
    six([0, 0, 0, 0, 0, 0, 0, 0], 128, UNSPECIFIED),
    six([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK),
    six([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32, METADATA), // AWS: metadata, pod credentials
    six([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA), // Google Cloud
    six([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
];

const LOOPBACK: &str = "loopback addresses";
const WITHIN: &str = "private addresses";
const SPECIAL: &str = "addresses that no public host has";

/// What `egress.deny_private` closes.
pub(super) const PRIVATE: &[Closed] = &[
    four([127, 0, 0, 0], 8, LOOPBACK),
    six([0, 0, 0, 0, 0, 0, 0, 1], 128, LOOPBACK),
    four([10, 0, 0, 0], 8, WITHIN),
    four([172, 16, 0, 0], 12, WITHIN),
    four([192, 168, 0, 0], 16, WITHIN),
    four([100, 64, 0, 0], 10, WITHIN), // shared by the customers of a carrier
    six([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, WITHIN),
    six([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, WITHIN), // site-local, of old
    four([192, 0, 0, 0], 24, SPECIAL),
    four([192, 0, 2, 0], 24, SPECIAL),
    four([192, 88, 99, 0], 24, SPECIAL),
    four([198, 18, 0, 0], 15, SPECIAL),
    four([198, 51, 100, 0], 24, SPECIAL),
    four([203, 0, 113, 0], 24, SPECIAL),
    four([240, 0, 0, 0], 4, SPECIAL),
    six([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, SPECIAL), // a network's own NAT64
    six([0x100, 0, 0, 0, 0, 0, 0, 0], 64, SPECIAL),
    six([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, SPECIAL), // Teredo among others
    six([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, SPECIAL),
    six([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, SPECIAL),
    six([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, SPECIAL),
];

/// Names of metadata services: where a proxy looks names up, no address is seen here.
pub(super) const METADATA_NAMES: &[&str] = &[
    "metadata.google.internal",
    "metadata.goog",
    "instance-data.ec2.internal",
];

const fn four(octets: [u8; 4], length: u8, what: &'static str) -> Closed {
    let [a, b, c, d] = octets;
    let range = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length));
    Closed { range, what }
}

const fn six(segments: [u16; 8], length: u8, what: &'static str) -> Closed {
    let [a, b, c, d, e, f, g, h] = segments;
    let range = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length));
    Closed { range, what }
}

/// The address, and those that it carries.
pub(super) fn faces(address: IpAddr) -> Vec<IpAddr> {
    let mut faces = vec![address];
    if let IpAddr::V6(six) = address {
        faces.extend(carried(six).into_iter().map(IpAddr::V4));
    }
    faces
}

/// The IPv4 addresses inside an IPv6 address of a kind that has some.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        // ::1 and :: are themselves, not IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0] if g == 0 && h <= 1 => Vec::new(),
        // Compatible ::a.b.c.d, mapped ::ffff:a.b.c.d, translated ::ffff:0:a.b.c.d.
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] => vec![join(g, h)],
        [0x64, 0xff9b, 0, 0, 0, 0] => vec![join(g, h)],
        [0x64, 0xff9b, 1, ..] => nat64(address),
        // 6to4.
        [0x2002, high, low, ..] => vec![join(high, low)],
        // Teredo: its server, and the client under a mask.
        [0x2001, 0, high, low, ..] => vec![join(high, low), join(!g, !h)],
        // ISATAP, under any prefix.
        [.., 0 | 0x200, 0x5efe] => vec![join(g, h)],
        _ => Vec::new(),
    }
}

/// A network's own NAT64 prefix may be 48, 56, 64 or 96 bits long, each with the IPv4 address elsewhere (RFC 6052,
/// section 2.2). What begins with a zero is none: those bits are the padding of another length.
fn nat64(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [_, _, _, _, _, _, s, t, _, j, k, l, m, n, o, p] = address.octets();
    let forms = [[s, t, j, k], [t, j, k, l], [j, k, l, m], [m, n, o, p]];
    let mut found: Vec<Ipv4Addr> = forms.into_iter().map(Ipv4Addr::from).collect();
    found.retain(|inner| inner.octets().first() != Some(&0));
    found
}
