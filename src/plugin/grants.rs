//! What the operator allows a plugin: read once into a form that can be asked, and told in words.
//!
//! The plugin's file has no say in it: grants are the operator's config alone.
//! Invariant: an empty grant allows nothing; a pattern never matches a name it does not end in.
//! Invariant: a refusal names the plugin, what it wanted, and the config line that would allow it.

use super::Grants;
use crate::access::value_of;
use crate::net::Trust;
use crate::units::show_size;

/// Grants that have been read and understood.
#[derive(Default)]
pub(super) struct Allowed {
    http: Vec<Origin>,
    tcp: Vec<Place>,
    tls: Vec<Host>,
    authorities: Option<Trust>,
    env: Vec<(String, String)>,
    kv: Option<u64>,
}

impl Allowed {
    /// Reads the operator's grants: a bad pattern, a missing file or variable is told in words.
    pub(super) fn parse(grants: &Grants) -> Result<Self, String> {
        Ok(Self {
            http: grants
                .http
                .iter()
                .map(|text| Origin::parse(text))
                .collect::<Result<_, _>>()?,
            tcp: grants
                .tcp
                .iter()
                .map(|text| Place::parse(text))
                .collect::<Result<_, _>>()?,
            tls: grants
                .tls
                .iter()
                .map(|text| server_name(text))
                .collect::<Result<_, _>>()?,
            authorities: grants.tls_ca.as_deref().map(authorities).transpose()?,
            env: grants
                .env
                .iter()
                .map(|(name, text)| Ok((name.clone(), value_of(&format!("grants.env.{name}"), text)?)))
                .collect::<Result<_, String>>()?,
            kv: grants.kv.map(|size| size as u64),
        })
    }

    /// Whether a request may go there.
    pub(super) fn http(&self, target: &http::Uri) -> bool {
        Origin::of(target).is_some_and(|wanted| self.http.iter().any(|granted| granted.covers(&wanted)))
    }

    /// Whether this name may be looked up: some port of it is granted.
    pub(super) fn name(&self, host: &str) -> bool {
        self.tcp
            .iter()
            .any(|granted| granted.host.covers(&host.to_ascii_lowercase()))
    }

    /// Whether this port of this host may be dialled.
    pub(super) fn tcp(&self, host: &str, port: u16) -> bool {
        self.tcp
            .iter()
            .any(|granted| granted.port == port && granted.host.covers(host))
    }

    /// Whether TLS may be spoken with a server of this name.
    pub(super) fn tls(&self, server: &str) -> bool {
        self.tls.iter().any(|granted| granted.covers(server))
    }

    /// Whom TLS trusts, if that is more than everybody does.
    pub(super) fn authorities(&self) -> Option<&Trust> {
        self.authorities.as_ref()
    }

    /// The size of its key-value space, if it has one.
    pub(super) fn kv(&self) -> Option<u64> {
        self.kv
    }

    /// The environment that the plugin sees.
    pub(super) fn env(&self) -> &[(String, String)] {
        &self.env
    }
}

/// Grants as `/v1/plugins` shows them.
pub(super) fn describe(grants: &Grants) -> Vec<String> {
    let http = grants.http.iter().map(|origin| format!("http {origin}"));
    let tcp = grants.tcp.iter().map(|place| format!("tcp {place}"));
    let tls = grants.tls.iter().map(|name| format!("tls {name}"));
    let env = grants.env.keys().map(|name| format!("env {name}"));
    let kv = grants.kv.iter().map(|size| format!("kv {}", show_size(*size as u64)));
    http.chain(tcp).chain(tls).chain(env).chain(kv).collect()
}

impl std::fmt::Debug for Grants {
    /// Values are not shown: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(describe(self)).finish()
    }
}

/// What is wrong with the addresses of grants. What `env` and `tls_ca` name is looked up when the plugin loads, not
/// before.
///
/// # Errors
/// The first one that is none, in words.
pub fn check_addresses(grants: &Grants) -> Result<(), String> {
    let addresses = Grants {
        env: std::collections::BTreeMap::new(),
        tls_ca: None,
        ..grants.clone()
    };
    Allowed::parse(&addresses).map(drop)
}

/// The config lines that would grant `value` of this `kind` (`http`, `tcp` or `tls`) beside what is granted already.
///
/// A table of its own: it can be pasted beside a `[plugins.NAME]` that is there.
pub(super) fn line(plugin: &str, kind: &str, granted: &[String], value: &str) -> String {
    let all: Vec<String> = granted
        .iter()
        .map(String::as_str)
        .filter(|one| *one != NOWHERE)
        .chain([value])
        .map(|one| format!("{one:?}"))
        .collect();
    format!("[plugins.{plugin}.grants]\n{kind} = [{}]", all.join(", "))
}

/// An origin that is granted to what is only looked at, so that it can be loaded: it leads nowhere (`.invalid` never
/// resolves, RFC 2606), and no operator is told to keep it.
pub(super) const NOWHERE: &str = "https://nothing.invalid";

/// `scheme://host[:port]` of a request or of a grant.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    place: Place,
}

impl Origin {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("grants.http {text:?} {why}; write an origin such as \"https://hooks.example.com\"");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        let port = default_port(&scheme).ok_or_else(|| wrong("is neither http nor https"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("has more than a host and a port"));
        }
        let place = match split_port(rest) {
            (host, Some(port)) => Place {
                host: Host::parse(host),
                port: port.parse().map_err(|_| wrong("has no valid port"))?,
            },
            (host, None) => Place {
                host: Host::parse(host),
                port,
            },
        };
        place.host.check().map_err(|why| wrong(&why))?;
        Ok(Self { scheme, place })
    }

    fn of(target: &http::Uri) -> Option<Self> {
        let scheme = target.scheme_str()?.to_ascii_lowercase();
        let port = target.port_u16().or_else(|| default_port(&scheme))?;
        Some(Self {
            place: Place {
                host: Host::Exact(target.host()?.to_ascii_lowercase()),
                port,
            },
            scheme,
        })
    }

    fn covers(&self, wanted: &Self) -> bool {
        let Host::Exact(host) = &wanted.place.host else {
            return false;
        };
        self.scheme == wanted.scheme && self.place.port == wanted.place.port && self.place.host.covers(host)
    }
}

/// `host:port`.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: Host,
    port: u16,
}

impl Place {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("grants.tcp {text:?} {why}; write host and port such as \"smtp.example.com:587\"");
        let (host, Some(port)) = split_port(text) else {
            return Err(wrong("has no port"));
        };
        let place = Self {
            host: Host::parse(host),
            port: port.parse().map_err(|_| wrong("has no valid port"))?,
        };
        place.host.check().map_err(|why| wrong(&why))?;
        Ok(place)
    }
}

/// A name, or every name below one.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// `*.example.com`: the part after the star, with its dot.
    Below(String),
}

impl Host {
    fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') => Self::Below(suffix.to_owned()),
            _ => Self::Exact(text),
        }
    }

    fn check(&self) -> Result<(), String> {
        let name = match self {
            Self::Exact(name) => name.as_str(),
            Self::Below(suffix) => suffix.trim_start_matches('.'),
        };
        match name {
            "" => Err("has no host".to_owned()),
            name if name.contains('*') => Err("has a `*` that is not its first label".to_owned()),
            name if name.contains(char::is_whitespace) => Err("has a space".to_owned()),
            _ => Ok(()),
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// Splits the port off; an IPv6 address keeps its brackets and the colons in them.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn server_name(text: &str) -> Result<Host, String> {
    let wrong = |why: &str| format!("grants.tls {text:?} {why}; write a server's name such as \"smtp.example.com\"");
    if text.contains([':', '/']) {
        return Err(wrong("has more than a name"));
    }
    let host = Host::parse(text);
    host.check().map_err(|why| wrong(&why))?;
    Ok(host)
}

fn authorities(text: &str) -> Result<Trust, String> {
    let pem = value_of("grants.tls_ca", text)?;
    Trust::public_and(pem.as_bytes()).map_err(|why| format!("grants.tls_ca {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(grants: &[&str]) -> Result<Allowed, String> {
        Allowed::parse(&Grants {
            http: grants.iter().map(|&text| text.to_owned()).collect(),
            ..Grants::default()
        })
    }

    #[test]
    fn an_origin_covers_itself_and_no_other() {
        let check = |grant: &str, target: &str, allowed: bool| {
            let target: http::Uri = target.parse().unwrap();
            assert_eq!(http(&[grant]).unwrap().http(&target), allowed, "{grant} and {target}");
        };
        check("https://a.example.com", "https://a.example.com/any/path?q", true);
        check("https://A.Example.com/", "https://a.EXAMPLE.com:443/", true);
        check("https://a.example.com", "http://a.example.com/", false);
        check("https://a.example.com", "https://a.example.com:8443/", false);
        check("https://a.example.com", "https://a.example.com.evil.org/", false);
        check("https://a.example.com", "https://xa.example.com/", false);
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080/", true);
        check("http://[::1]:8080", "http://[::1]:8080/", true);
        check("http://[::1]", "http://[::1]/", true);
        check("https://*.example.com", "https://a.b.example.com/", true);
        check("https://*.example.com", "https://example.com/", false);
        check("https://*.example.com", "https://notexample.com/", false);
        check("https://a.example.com", "https://user@a.example.com/", true);
        check("https://a.example.com", "/relative", false);
    }

    #[test]
    fn bad_patterns_are_told() {
        let check = |grant: &str, says: &str| {
            let error = http(&[grant]).err().unwrap();
            assert!(
                error.contains(says) && error.contains("https://hooks.example.com"),
                "{error}"
            );
        };
        check("hooks.example.com", "no scheme");
        check("ftp://example.com", "neither http nor https");
        check("https://", "has no host");
        check("https://example.com/path", "more than a host");
        check("https://user@example.com", "more than a host");
        check("https://example.com:port", "no valid port");
        check("https://a.*.example.com", "`*`");
        check("https://*", "`*`");
    }

    #[test]
    fn tcp_is_granted_by_name_and_port() {
        let grants = Grants {
            tcp: vec!["smtp.example.com:587".to_owned(), "*.mq.local:5672".to_owned()],
            ..Grants::default()
        };
        let allowed = Allowed::parse(&grants).unwrap();
        assert!(allowed.name("SMTP.example.com") && allowed.name("a.mq.local"));
        assert!(!allowed.name("example.com") && !allowed.name("mq.local"));
        assert!(allowed.tcp("smtp.example.com", 587) && !allowed.tcp("smtp.example.com", 25));
        let bad = Grants {
            tcp: vec!["smtp.example.com".to_owned()],
            ..Grants::default()
        };
        assert!(Allowed::parse(&bad).err().unwrap().contains("has no port"));
    }

    #[test]
    fn environment_comes_from_where_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let with = |value: String| Grants {
            env: [("KEY".to_owned(), value)].into(),
            ..Grants::default()
        };
        let read = |value: String| Allowed::parse(&with(value)).map(|allowed| allowed.env()[0].1.clone());
        assert_eq!(read("plain".to_owned()).unwrap(), "plain");
        assert_eq!(read(format!("file:{}", path.display())).unwrap(), "hunter2");
        assert_eq!(read("env:CARGO_PKG_NAME".to_owned()).unwrap(), "busway");
        assert!(
            read("env:NO_SUCH_VARIABLE".to_owned())
                .unwrap_err()
                .contains("NO_SUCH_VARIABLE is not set")
        );
        assert!(read("file:/no/such".to_owned()).unwrap_err().contains("/no/such"));
        let grants = with("plain".to_owned());
        assert_eq!(describe(&grants), ["env KEY"], "values are not shown");
        assert!(!format!("{grants:?}").contains("plain"), "not even for a developer");
    }

    #[test]
    fn tls_is_granted_by_name() {
        let tls = |names: &[&str]| {
            Allowed::parse(&Grants {
                tls: names.iter().map(|&name| name.to_owned()).collect(),
                ..Grants::default()
            })
        };
        let allowed = tls(&["smtp.example.com", "*.mq.local"]).unwrap();
        assert!(allowed.tls("smtp.example.com") && allowed.tls("a.mq.local"));
        assert!(!allowed.tls("example.com") && !allowed.tls("mq.local"));
        let check = |name: &str, says: &str| {
            let why = tls(&[name]).err().unwrap();
            assert!(why.contains(says) && why.contains("smtp.example.com"), "{why}");
        };
        check("smtp.example.org:465", "more than a name");
        check("", "has no host");
        let authorities = Grants {
            tls_ca: Some("no certificate".to_owned()),
            ..Grants::default()
        };
        let why = Allowed::parse(&authorities).err().unwrap();
        assert!(why.contains("grants.tls_ca holds no certificate"), "{why}");
        assert_eq!(check_addresses(&authorities), Ok(()), "looked up when the plugin loads");
    }

    #[test]
    fn the_line_keeps_what_is_granted() {
        let line = line("chat", "http", &["https://a.org".to_owned()], "https://b.org");
        assert_eq!(
            line,
            "[plugins.chat.grants]\nhttp = [\"https://a.org\", \"https://b.org\"]"
        );
        let file = format!("[plugins.chat]\nconfig = {{ url = \"x\" }}\n\n{line}\n");
        let table: toml::Table = file.parse().unwrap();
        assert_eq!(
            table["plugins"]["chat"]["grants"]["http"][1].as_str(),
            Some("https://b.org")
        );
    }
}
