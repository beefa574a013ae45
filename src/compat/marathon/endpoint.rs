//! A callback's URL, as Java's `java.net.URL` judges it.
//!
//! Marathon answers with the text of Java's exception, and clients show it. What Java takes and the hub cannot send
//! to (`ftp:`, no host) is refused here in the same words as far as they fit: a callback that is never called helps
//! nobody.
//! Invariant: the text is kept as it was given, since it is the callback's name; only what is sent to is tidied.

/// A callback's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    sink: String,
}

impl Endpoint {
    /// Reads one.
    ///
    /// # Errors
    /// The text of Java's `MalformedURLException`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let spec = text.trim_matches(|letter: char| letter <= ' ');
        let spec = match spec.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("url:") => spec.get(4..).unwrap_or_default(),
            _ => spec,
        };
        let Some((protocol, rest)) = protocol(spec) else {
            return Err(format!("no protocol: {text}"));
        };
        if !matches!(protocol.as_str(), "http" | "https") {
            return Err(format!("unknown protocol: {protocol}"));
        }
        let bare = rest.split('#').next().unwrap_or_default();
        check_authority(bare).map_err(|why| why.unwrap_or_else(|| format!("no host: {text}")))?;
        Ok(Self {
            text: text.to_owned(),
            sink: format!("{protocol}:{bare}"),
        })
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where to send: without what is never sent (blanks around it, a fragment).
    pub(super) fn sink(&self) -> &str {
        &self.sink
    }
}

/// The protocol in lower case, and what follows its colon.
fn protocol(spec: &str) -> Option<(String, &str)> {
    let (name, rest) = spec.split_once(':')?;
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    (begins && goes_on).then(|| (name.to_ascii_lowercase(), rest))
}

/// Checks `//user@host:port`; no text of Java's means that there is no host.
fn check_authority(rest: &str) -> Result<(), Option<String>> {
    let authority = rest.strip_prefix("//").ok_or(None)?;
    let end = authority.find(['/', '?']).unwrap_or(authority.len());
    let authority = authority.get(..end).unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (name, port) = match host.strip_prefix('[') {
        Some(inner) => {
            let invalid = || Some(format!("Invalid authority field: {authority}"));
            let (inner, after) = inner.split_once(']').ok_or_else(invalid)?;
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(Some(format!("Invalid host: [{inner}]")));
            }
            (inner, after.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        let number: i32 = port
            .parse()
            .map_err(|_| Some(format!("For input string: \"{port}\"")))?;
        if !(0..=65_535).contains(&number) {
            return Err(Some(format!("Invalid port number :{number}")));
        }
    }
    if name.is_empty() { Err(None) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Strangers send it: no text panics, and what is taken keeps its name.
        #[test]
        fn any_text_is_judged(text in "(url:|http:|https:|ftp:)?(//)?[\\[\\]:@/?# a-z0-9é%.-]{0,16}") {
            if let Ok(endpoint) = Endpoint::parse(&text) {
                prop_assert_eq!(endpoint.as_str(), text.as_str());
                prop_assert!(endpoint.sink().starts_with("http"));
            }
        }
    }

    #[test]
    fn urls_are_judged_as_java_does() {
        for (text, sink) in [
            ("http://host1/foo", Ok("http://host1/foo")),
            ("HTTPS://h:8443/a?b=c#d", Ok("https://h:8443/a?b=c")),
            (" url:http://h ", Ok("http://h")),
            ("http://[::1]:80/x", Ok("http://[::1]:80/x")),
            ("http://h:/x", Ok("http://h:/x")),
            ("foo", Err("no protocol: foo")),
            ("", Err("no protocol: ")),
            ("/foo", Err("no protocol: /foo")),
            ("1http://h", Err("no protocol: 1http://h")),
            ("/a:b", Err("no protocol: /a:b")),
            ("localhost:8080/x", Err("unknown protocol: localhost")),
            ("FTP://h/x", Err("unknown protocol: ftp")),
            ("http://h:port/x", Err("For input string: \"port\"")),
            ("http://h:-7/x", Err("Invalid port number :-7")),
            ("http://h:99999/x", Err("Invalid port number :99999")),
            ("http://[::1/x", Err("Invalid authority field: [::1")),
            ("http://[nope]/x", Err("Invalid host: [nope]")),
            ("http:///x", Err("no host: http:///x")),
            ("http:foo", Err("no host: http:foo")),
        ] {
            let read = Endpoint::parse(text);
            assert_eq!(
                read.as_ref().map(Endpoint::sink).map_err(String::as_str),
                sink,
                "{text}"
            );
            assert!(read.is_err() || read.is_ok_and(|read| read.as_str() == text));
        }
    }
}
