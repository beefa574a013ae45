//! Media types (RFC 2046; the grammar of RFC 9110, section 8.3.1) and what they say of the data.
//!
//! Invariant: one media type always has its data carried one way (JSON, text, or base64), whatever bytes happen to
//! be in it, unless the bytes are not what the media type says.

use std::borrow::Cow;

use super::model::DataKind;
use super::nesting;

/// Checks the grammar: `type/subtype`, then parameters. The error is the rule.
pub(super) fn check(text: &str) -> Result<(), String> {
    let essence = essence(text);
    let names = essence
        .split_once('/')
        .is_some_and(|(main, sub)| is_token(main) && is_token(sub));
    if !names {
        return Err("must be a media type such as `application/json` (RFC 2046)".to_owned());
    }
    let mut rest = text.get(text.find(';').unwrap_or(text.len())..).unwrap_or_default();
    while !rest.is_empty() {
        rest = parameter(rest)
            .ok_or("has a malformed media type parameter: write `; name=value` (RFC 2046)")?
            .rest;
    }
    Ok(())
}

/// Whether a media type means JSON (JSON format, section 3.1): subtype `json` or `+json`; none means JSON too.
pub(super) fn is_json(datacontenttype: Option<&str>) -> bool {
    let Some(media_type) = datacontenttype else {
        return true;
    };
    let Some((_, subtype)) = essence(media_type).split_once('/') else {
        return false;
    };
    subtype.eq_ignore_ascii_case("json") || ends_with_ignoring_case(subtype, "+json")
}

/// How bytes of this media type are carried. JSON that is no JSON, and text in another charset, are just bytes.
pub(super) fn kind_of(datacontenttype: Option<&str>, bytes: &[u8]) -> DataKind {
    if is_json(datacontenttype) && datacontenttype.is_none_or(is_utf8) && nesting::check(bytes).is_ok() {
        DataKind::Json
    } else if datacontenttype.is_some_and(is_text) && std::str::from_utf8(bytes).is_ok() {
        DataKind::Text
    } else {
        DataKind::Binary
    }
}

/// Whether the charset, if one is given, is one that UTF-8 covers.
pub(super) fn is_utf8(media_type: &str) -> bool {
    match charset(media_type) {
        Some(charset) => ["utf-8", "utf8", "us-ascii", "ascii"]
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name)),
        None => true,
    }
}

/// The same media type for data that is in UTF-8: a charset that says otherwise is corrected.
pub(super) fn in_utf8(media_type: &str) -> Cow<'_, str> {
    if is_utf8(media_type) {
        return media_type.into();
    }
    let mut kept = essence(media_type).to_owned();
    for parameter in parameters(media_type).filter(|parameter| !parameter.name.eq_ignore_ascii_case("charset")) {
        kept.push_str("; ");
        kept.push_str(parameter.name);
        kept.push('=');
        kept.push_str(parameter.value);
    }
    kept.push_str("; charset=utf-8");
    kept.into()
}

/// `type/subtype` without parameters.
pub(super) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim_matches(BLANK)
}

const BLANK: [char; 2] = [' ', '\t'];

/// Whether this is text to a person: then it is carried as a string, where a person can read it.
fn is_text(media_type: &str) -> bool {
    let Some((main, subtype)) = essence(media_type).split_once('/') else {
        return false;
    };
    let named = [
        "xml",
        "yaml",
        "javascript",
        "ecmascript",
        "graphql",
        "sql",
        "toml",
        "x-www-form-urlencoded",
        "x-ndjson",
        "json-seq",
    ];
    let text = main.eq_ignore_ascii_case("text")
        || named.iter().any(|name| subtype.eq_ignore_ascii_case(name))
        || ends_with_ignoring_case(subtype, "+xml")
        || ends_with_ignoring_case(subtype, "+yaml")
        || charset(media_type).is_some();
    text && is_utf8(media_type)
}

fn charset(media_type: &str) -> Option<&str> {
    let parameter = parameters(media_type).find(|parameter| parameter.name.eq_ignore_ascii_case("charset"))?;
    Some(parameter.value.trim_matches('"'))
}

struct Parameter<'a> {
    name: &'a str,
    value: &'a str,
    rest: &'a str,
}

fn parameters(media_type: &str) -> impl Iterator<Item = Parameter<'_>> {
    let mut rest = media_type
        .get(media_type.find(';').unwrap_or(media_type.len())..)
        .unwrap_or_default();
    std::iter::from_fn(move || {
        let parameter = parameter(rest)?;
        rest = parameter.rest;
        Some(parameter)
    })
    .filter(|parameter| !parameter.name.is_empty())
}

/// The parameter that `; name=value…` begins with. One may be empty (`text/plain;`): RFC 9110 says to allow it.
fn parameter(text: &str) -> Option<Parameter<'_>> {
    let text = text.strip_prefix(';')?.trim_start_matches(BLANK);
    if text.is_empty() || text.starts_with(';') {
        return Some(Parameter {
            name: "",
            value: "",
            rest: text,
        });
    }
    let (name, text) = text.split_once('=')?;
    let end = match text.strip_prefix('"') {
        Some(quoted) => quoted_length(quoted)? + 1,
        None => text.find([';', ' ', '\t']).unwrap_or(text.len()),
    };
    let (value, rest) = text.split_at_checked(end)?;
    let rest = rest.trim_start_matches(BLANK);
    let fits =
        is_token(name) && (value.starts_with('"') || is_token(value)) && (rest.is_empty() || rest.starts_with(';'));
    fits.then_some(Parameter { name, value, rest })
}

/// How long a quoted string is from after its first quote to after its last.
fn quoted_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => {
                bytes.next().filter(|(_, escaped)| matches!(escaped, b' '..=b'~'))?;
            }
            b' '..=b'~' => {}
            // A header could not carry it.
            _ => return None,
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(letter)
}

fn ends_with_ignoring_case(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start
        .and_then(|start| text.get(start..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn grammar() {
        let good = [
            "text/plain",
            "application/json",
            "application/vnd.a.b+json;charset=utf-8",
            "text/plain ; charset=\"utf-8\"",
            "a/b;",
            "a/b; ; c=d",
            "a/b; c=\"x;\\\"y\"; d=e",
            "APPLICATION/JSON",
            "multipart/x; boundary=\"a b\"",
            "a/b;c=d ;e=f",
        ];
        for text in good {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        let bad = [
            "",
            "json",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "a/b; c",
            "a/b; c=",
            "a/b; =d",
            "a/b; c=\"d",
            "a/b; c=\"d\"e",
            "a/b c",
            "é/b",
            "a/b; c=d e=f",
            "a/b; c=\"\u{e9}\"",
            "text/plain, text/html",
        ];
        for text in bad {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json_by_its_name() {
        let table = [
            (None, true),
            (Some("application/json"), true),
            (Some("text/json; charset=utf-8"), true),
            (Some("Application/CloudEvents+JSON"), true),
            (Some("application/jsonp"), false),
            (Some("application/json-seq"), false),
            (Some("text/plain"), false),
            (Some("json"), false),
        ];
        for (media_type, expected) in table {
            assert_eq!(is_json(media_type), expected, "{media_type:?}");
        }
    }

    #[test]
    fn how_data_is_carried() {
        let table: [(Option<&str>, &[u8], DataKind); 15] = [
            (None, b"{}", DataKind::Json),
            (None, b"hello", DataKind::Binary),
            (Some("application/json"), b" [1] ", DataKind::Json),
            (Some("application/json"), b"[1", DataKind::Binary),
            (
                Some("application/json; charset=utf-16"),
                b"\xfe\xff\x00[\x00]",
                DataKind::Binary,
            ),
            // Two digits in UTF-8 are one letter in UTF-16.
            (Some("application/json; charset=utf-16"), b"12", DataKind::Binary),
            (Some("text/plain"), b"hello", DataKind::Text),
            (Some("text/plain"), b"\xe9", DataKind::Binary),
            (Some("text/plain; charset=iso-8859-1"), b"hello", DataKind::Binary),
            (Some("text/plain; charset=\"UTF-8\""), "é".as_bytes(), DataKind::Text),
            (Some("image/svg+xml"), b"<svg/>", DataKind::Text),
            (Some("application/xml"), b"<a/>", DataKind::Text),
            (Some("application/x; charset=utf-8"), b"a", DataKind::Text),
            (Some("application/octet-stream"), b"plain", DataKind::Binary),
            (Some("image/png"), b"{}", DataKind::Binary),
        ];
        for (media_type, bytes, expected) in table {
            assert_eq!(kind_of(media_type, bytes), expected, "{media_type:?} {bytes:?}");
        }
    }

    #[test]
    fn a_wrong_charset_is_corrected() {
        let table = [
            ("text/plain", "text/plain"),
            ("text/plain; charset=UTF-8; a=b", "text/plain; charset=UTF-8; a=b"),
            ("text/plain;charset=iso-8859-1", "text/plain; charset=utf-8"),
            (
                "text/plain; format=flowed; Charset=\"latin1\"; x=\"a;b\"",
                "text/plain; format=flowed; x=\"a;b\"; charset=utf-8",
            ),
        ];
        for (given, expected) in table {
            assert_eq!(in_utf8(given), expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_corrects_to_the_same_grammar(text in any::<String>(), shaped in "[a/;= \"\\\\é]{0,24}") {
            for text in [text, format!("a/b{shaped}")] {
                let valid = check(&text).is_ok();
                let corrected = in_utf8(&text).into_owned();
                if valid {
                    prop_assert!(check(&corrected).is_ok() && is_utf8(&corrected), "{} became {}", text, corrected);
                }
            }
        }
    }
}
