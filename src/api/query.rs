//! Query parameters: an unknown one is refused by name, for a misspelt filter would silently match everything.

use std::str::FromStr;

use axum::http::Uri;
use url::form_urlencoded;

use crate::error::Error;
use crate::filter::{Filter, Selector, TypePattern};
use crate::log::Offset;
use crate::nearest::nearest;
use crate::subscription::Start;

/// Query parameters, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes the parameters of a request that knows these.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Error> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let Some((unknown, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
            return Ok(Self(pairs));
        };
        let hint = match (nearest(unknown, known.iter().copied()), known) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "this request takes none".into(),
            (None, known) => format!("known here: {}", known.join(", ")),
        };
        Err(Error::invalid(
            "unknown_parameter",
            format!("`{unknown}` is not a query parameter of this request; {hint}"),
        ))
    }

    /// A parameter that may come once.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Error> {
        let mut found = self.all(name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(invalid(name, "is given more than once")),
            None => Ok(first),
        }
    }

    /// A parameter that may come several times.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let text = self.one(name)?;
        text.map(|text| {
            text.parse()
                .map_err(|_| invalid(name, format_args!("must be a whole number, not `{text}`")))
        })
        .transpose()
    }

    /// How many to answer at most: from 1 to `most`.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Error> {
        match self.number("limit")? {
            None => Ok(default),
            Some(limit) if (1..=most).contains(&limit) => Ok(limit),
            Some(_) => Err(invalid("limit", format_args!("must be from 1 to {most}"))),
        }
    }

    /// `from`: a place in the log.
    pub(super) fn from(&self) -> Result<Option<Start>, Error> {
        let rule = "must be latest, earliest, an offset, or an RFC 3339 time such as 2026-01-31T12:00:00Z";
        self.one("from")?
            .map(|text| Start::parse(text).ok_or_else(|| invalid("from", rule)))
            .transpose()
    }

    /// What narrows events: `type` (any of several), `source`, `subject`, `filter`.
    pub(super) fn selector(&self) -> Result<Selector, Error> {
        let types = self.all("type").map(TypePattern::parse).collect::<Result<_, _>>()?;
        let mut filters: Vec<Filter> = self.all("filter").map(filter).collect::<Result<_, _>>()?;
        if let Some(subject) = self.one("subject")? {
            filters.push(Filter::Exact(vec![("subject".into(), subject.into())]));
        }
        Ok(Selector {
            source: self.one("source")?.map(str::to_owned),
            types,
            filters,
        })
    }
}

fn filter(text: &str) -> Result<Filter, Error> {
    let json = serde_json::from_str(text).map_err(|error| {
        invalid(
            "filter",
            format_args!("must be one filter as URL-encoded JSON: {error}"),
        )
    })?;
    Filter::parse(&json)
}

/// A parameter breaks a rule.
pub(super) fn invalid(name: &str, rule: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_parameter", format!("query parameter `{name}` {rule}"))
}

/// An offset in a path.
pub(super) fn offset(text: &str) -> Result<Offset, Error> {
    let rule = || {
        Error::invalid(
            "invalid_offset",
            format!("`{text}` is not an offset: a whole number, as publishing answers it"),
        )
    };
    text.parse().map(Offset).map_err(|_| rule())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Error> {
        Query::of(
            &format!("/x?{text}").parse().unwrap(),
            &["type", "from", "limit", "filter", "subject", "source"],
        )
    }

    #[test]
    fn unknown_parameters_are_refused_with_the_nearest() {
        let error = query("typ=a").unwrap_err();
        assert_eq!(
            (error.code(), error.message().contains("did you mean `type`?")),
            ("unknown_parameter", true),
            "{error}"
        );
        assert!(query("").is_ok() && query("type=a&type=b").is_ok());
        assert!(
            Query::of(&"/x?a=1".parse().unwrap(), &[])
                .unwrap_err()
                .message()
                .contains("takes none")
        );
    }

    #[test]
    fn values_are_checked_by_name() {
        for (text, part) in [
            ("limit=0", "`limit` must be from 1 to 10"),
            ("limit=11", "`limit` must be from 1 to 10"),
            ("limit=x", "`limit` must be a whole number, not `x`"),
            ("limit=1&limit=2", "`limit` is given more than once"),
            ("from=yesterday", "`from` must be latest"),
            ("filter=%7B", "`filter` must be one filter"),
        ] {
            let query = query(text).unwrap();
            let error = query
                .limit(5, 10)
                .err()
                .or(query.from().err())
                .or(query.selector().err())
                .unwrap();
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_selector_has_all_parts() {
        let selector =
            query("type=a&type=b.*&source=/s&subject=x%20y&filter=%7B%22exact%22%3A%7B%22id%22%3A%221%22%7D%7D")
                .unwrap()
                .selector()
                .unwrap();
        assert_eq!(
            (selector.types.len(), selector.source.as_deref(), selector.filters.len()),
            (2, Some("/s"), 2)
        );
        assert_eq!(
            selector.filters[1],
            Filter::Exact(vec![("subject".into(), "x y".into())])
        );
    }
}
