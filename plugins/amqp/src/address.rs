//! The broker's address: `amqp[s]://[user[:password]@]host[:port][/vhost]`.
//!
//! Read by hand, because the rules are AMQP's own: no path means the vhost `/`, a slash alone means the vhost of no
//! name, and a vhost named `/` is written `%2f`.

/// Where the broker is, and as whom to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS comes first.
    pub tls: bool,
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// 5672, or 5671 with TLS, if none is named.
    pub port: u16,
    /// Who speaks; nobody if the URL names no user.
    pub user: Option<String>,
    /// Its password, if the URL has one.
    pub password: Option<String>,
    /// The virtual host, `/` if none is named.
    pub vhost: String,
}

impl Address {
    /// Reads the URL; the error continues "url ..." and never repeats the URL, which may hold a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (tls, rest) = match (url.strip_prefix("amqps://"), url.strip_prefix("amqp://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with amqp:// or amqps://".to_owned()),
        };
        if rest.contains(['?', '#']) {
            return Err("has a ? or a #: settings stand beside the url, not in it".to_owned());
        }
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, Some(vhost)),
            None => (rest, None),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        let (user, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, "")) => (Some(decode(user)?), None),
            Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
            None => (None, None),
        };
        Ok(Self {
            tls,
            host,
            port: port.unwrap_or(if tls { 5671 } else { 5672 }),
            user,
            password,
            vhost: vhost.map_or_else(|| Ok("/".to_owned()), decode)?,
        })
    }

    /// `host:port`, as a grant writes it.
    pub fn place(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}, vhost {:?})", self.place(), self.vhost)
    }
}

fn split_port(place: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        Some(None) => return Err("has a [ without its ]".to_owned()),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let number = |port: &str| port.parse().ok().filter(|&port| port != 0);
    let port = port.map(|port| number(port).ok_or("has no valid port")).transpose()?;
    Ok((host.to_owned(), port))
}

fn decode(text: &str) -> Result<String, String> {
    let wrong = || "has a % without two hex digits of UTF-8 after it (write %25 for a percent sign)".to_owned();
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(wrong)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let check = |url: &str, place: &str, user: Option<&str>, password: Option<&str>, vhost: &str| {
            let address = Address::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let found = (
                address.place(),
                address.user.as_deref(),
                address.password.as_deref(),
                address.vhost.as_str(),
            );
            assert_eq!(found, (place.to_owned(), user, password, vhost), "{url}");
            assert_eq!(address.tls, url.starts_with("amqps"));
        };
        check("amqp://mq.example.com", "mq.example.com:5672", None, None, "/");
        check("amqps://mq.example.com", "mq.example.com:5671", None, None, "/");
        check("amqp://u:p@h:99/v", "h:99", Some("u"), Some("p"), "v");
        check("amqp://u@h/", "h:5672", Some("u"), None, "");
        check("amqp://u%40x:p%3a%2F@h/%2f", "h:5672", Some("u@x"), Some("p:/"), "/");
        check("amqp://a@b:c@h/x/y", "h:5672", Some("a@b"), Some("c"), "x/y");
        check("amqp://[::1]:5673/v", "[::1]:5673", None, None, "v");
        check("amqp://[::1]", "[::1]:5672", None, None, "/");
    }

    #[test]
    fn refuses_what_is_none() {
        let check = |url: &str, says: &str| {
            let error = Address::parse(url).unwrap_err();
            assert!(error.contains(says) && !error.contains("secret"), "{url}: {error}");
        };
        check("mq.example.com:5672", "must begin with amqp://");
        check("http://u:secret@h", "must begin with amqp://");
        check("amqp://", "names no host");
        check("amqp://u:secret@/v", "names no host");
        check("amqp://u:secret@h:port", "no valid port");
        check("amqp://h:0", "no valid port");
        check("amqp://h:65536", "no valid port");
        check("amqp://[::1", "without its ]");
        check("amqp://u:secret%@h", "% without");
        check("amqp://u:secret%zz@h", "% without");
        check("amqp://u:secret%ff@h", "% without");
        check("amqp://h?heartbeat=3", "has a ?");
    }

    #[test]
    fn does_not_print_its_password() {
        let address = Address::parse("amqp://u:secret@h/v").unwrap();
        assert_eq!(format!("{address:?}"), "Address(h:5672, vhost \"v\")");
    }
}
