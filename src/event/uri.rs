//! The grammar of URI-references and absolute URIs (RFC 3986, sections 4.1 and 4.3).
//!
//! Why not the `url` crate: it reads the WHATWG's URLs, mends what it reads, and knows no relative references;
//! `acs.mse` and `urn:x:y` must pass as they are, and a space must not.
//! Invariant: checks only; the producer's spelling is kept.

/// Checks a URI-reference: absolute, or relative such as `/sensors/1` or `acs.mse`. The error is the rule.
pub(super) fn check_reference(text: &str) -> Result<(), String> {
    parts(text)
        .map(|_| ())
        .map_err(|rule| format!("must be a URI-reference (RFC 3986): {rule}"))
}

/// Checks an absolute URI: a scheme, and no fragment. The error is the rule.
pub(super) fn check_absolute(text: &str) -> Result<(), String> {
    let rule = match parts(text) {
        Err(rule) => rule,
        Ok(Parts { scheme: false, .. }) => "it has no scheme such as `https:`".to_owned(),
        Ok(Parts { fragment: true, .. }) => "an absolute URI has no fragment (`#…`)".to_owned(),
        Ok(_) => return Ok(()),
    };
    Err(format!("must be an absolute URI (RFC 3986, section 4.3): {rule}"))
}

struct Parts {
    scheme: bool,
    fragment: bool,
}

fn parts(text: &str) -> Result<Parts, String> {
    check_characters(text)?;
    let (rest, scheme) = match text.find([':', '/', '?', '#']).and_then(|at| text.split_at_checked(at)) {
        Some((name, rest)) if rest.starts_with(':') => {
            check_scheme(name)?;
            (rest.strip_prefix(':').unwrap_or_default(), true)
        }
        _ => (text, false),
    };
    let (rest, fragment) = split(rest, '#');
    let (rest, query) = split(rest, '?');
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest
                .split_at_checked(rest.find('/').unwrap_or(rest.len()))
                .unwrap_or_default();
            check_authority(authority)?;
            path
        }
        None => rest,
    };
    for part in [Some(path), query, fragment].into_iter().flatten() {
        if let Some(stray) = part.chars().find(|letter| matches!(letter, '[' | ']' | '#')) {
            return Err(format!("`{stray}` must be percent-encoded where it stands"));
        }
    }
    Ok(Parts {
        scheme,
        fragment: fragment.is_some(),
    })
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn check_characters(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let fits = match byte {
            b'%' => bytes
                .get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            let letter = text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or_default();
            return Err(format!("{letter:?} at byte {at} must be percent-encoded"));
        }
    }
    Ok(())
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    let letters = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if letters && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(format!(
        "`{scheme}:` is no scheme (a colon in a relative path must come after a `/`)"
    ))
}

fn check_authority(authority: &str) -> Result<(), String> {
    let host = match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(['@', '[', ']']) => {
            return Err("its user part is malformed".to_owned());
        }
        Some((_, host)) => host,
        None => authority,
    };
    let port = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return Err("its host lacks a `]`".to_owned());
            };
            let future = address.starts_with(['v', 'V']) && address.contains('.');
            if !future && address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("`[{address}]` is no IPv6 address"));
            }
            port
        }
        None => host.find(':').and_then(|at| host.get(at..)).unwrap_or_default(),
    };
    let digits = port.strip_prefix(':').unwrap_or(if port.is_empty() { "" } else { "-" });
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("its port is not a number".to_owned());
    }
    if !host.starts_with('[') && host.contains(['[', ']']) {
        return Err("its host is malformed".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references() {
        let good = [
            "/",
            "a",
            "acs.mse",
            "/cloudevents/spec/pull/123",
            "https://github.com/cloudevents",
            "mailto:cncf-wg@lists.cncf.io",
            "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
            "1-555-123-4567",
            "//host/path",
            "./a:b",
            "a/b:c",
            "?q",
            "#f",
            "a#f?/",
            "http://[::1]:8080/x",
            "http://[v7.a:b]/",
            "http://u:p@h:1/",
            "http://h:/",
            "http://h",
            "file:///etc",
            "a%20b",
            "tel:+1-816-555-1212",
            "http://192.168.1.88:8080",
            "x:",
            "a@b",
            "http://%C3%A9.example/~x!$&'()*+,;=",
        ];
        for text in good {
            assert_eq!(check_reference(text), Ok(()), "{text}");
        }
        let bad = [
            ("a b", "' ' at byte 1"),
            ("é", "'é' at byte 0"),
            ("a%2", "'%' at byte 1"),
            ("%zz", "'%' at byte 0"),
            ("1a:b", "`1a:` is no scheme"),
            (":a", "no scheme"),
            ("a#b#c", "`#` must be"),
            ("a[b", "`[` must be"),
            ("http://[::g]/", "no IPv6"),
            ("http://[::1/", "lacks a `]`"),
            ("http://h:8x/", "port"),
            ("http://[::1]x/", "port"),
            ("http://a@b@c/", "user"),
            ("http://a[b/", "host"),
            ("a\"b", "byte 1"),
            ("a\\b", "byte 1"),
            ("{x}", "byte 0"),
            ("a\nb", "'\\n' at byte 1"),
            ("a|b", "byte 1"),
            ("h?a[]=1", "`[` must be"),
        ];
        for (text, part) in bad {
            let rule = check_reference(text).expect_err(text);
            assert!(rule.contains(part), "{text}: {rule}");
        }
    }

    #[test]
    fn absolute() {
        for text in ["https://example.com/schema?x=1", "urn:a:b", "a:"] {
            assert_eq!(check_absolute(text), Ok(()), "{text}");
        }
        for (text, part) in [
            ("/schema", "no scheme"),
            ("//h/x", "no scheme"),
            ("http://h/#x", "no fragment"),
            ("http://h/ ", "byte 9"),
            ("", "no scheme"),
        ] {
            let rule = check_absolute(text).expect_err(text);
            assert!(rule.contains(part), "{text}: {rule}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), shaped in "[a1:/?#@%\\[\\]é .]{0,20}") {
            let _ = check_absolute(&text);
            let _ = check_absolute(&shaped);
        }

        #[test]
        fn what_the_web_writes_is_a_reference(path in "(/[a-z0-9 é%\\[]{0,8}){0,4}", query in "[a-z =&]{0,10}") {
            let mut url = url::Url::parse("https://example.com:8443/").unwrap();
            url.set_path(&path.replace(['%', '['], ""));
            url.set_query(Some(&query));
            prop_assert_eq!(check_reference(url.as_str()), Ok(()));
        }
    }
}
