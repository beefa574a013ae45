//! Text with holes: `{type}` is an attribute, `{/a/b}` a JSON Pointer into the data, `{data}` all of the data, `{{` and
//! `}}` are braces.
//!
//! The same holes as notifier-chat's, and `{data}`: a chat line has no room for it, a letter has. (Rejected: a crate
//! that both share; an example stands alone, so that it can be copied and changed.)
//! Invariant: a template that parses can be filled for every event; what an event lacks leaves its hole empty.

use crate::occurrence::Occurrence;

/// A template, parsed once.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Attribute(String),
    Pointer(String),
    Data,
}

impl Template {
    /// Splits the text into its parts; the error continues "FIELD ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            let (brace, after) = from.split_at(1);
            rest = after;
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err("has a } without its { (write }} for a brace)".to_owned());
            } else {
                let (name, after) = rest
                    .split_once('}')
                    .ok_or("has a { without its } (write {{ for a brace)")?;
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(hole(name)?);
                rest = after;
            }
        }
        parts.push(Part::Text(plain));
        if let Some(Part::Text(last)) = parts.last_mut() {
            last.push_str(rest);
        }
        Ok(Self(parts))
    }

    /// The text for one event.
    pub fn fill(&self, event: &Occurrence) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Attribute(name) => event.attribute(name).unwrap_or_default().to_owned(),
            Part::Pointer(pointer) => event.at(pointer),
            Part::Data => event.pretty_data(),
        };
        self.0.iter().map(fill).collect()
    }
}

fn hole(name: &str) -> Result<Part, String> {
    if name.starts_with('/') {
        return Ok(Part::Pointer(name.to_owned()));
    }
    if name == "data" {
        return Ok(Part::Data);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!(
            "has {{{name}}}, which is no attribute name, no /pointer and not {{data}}"
        ));
    }
    Ok(Part::Attribute(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_holes() {
        let event = Occurrence::of(
            &[("type", "order.created")],
            r#"{"name": "a \"b\" é", "n": 7, "o": {"x": 1}, "list": ["x"]}"#,
        );
        let check = |template: &str, expected: &str| {
            assert_eq!(Template::parse(template).unwrap().fill(&event), expected, "{template}");
        };
        check("", "");
        check("{type}", "order.created");
        check("{type}: {/name}!", "order.created: a \"b\" é!");
        check("{/n}{/n} {/o} {/list/0}", "77 {\"x\":1} x");
        check("[{subject}{/none}]", "[]");
        check("{{type}} {{{type}}} é{{", "{type} {order.created} é{");
        let text = Template::parse("so: {data}.").unwrap().fill(&event);
        assert!(text.starts_with("so: {\n  \"name\"") && text.ends_with("}."), "{text}");
    }

    #[test]
    fn refuses_a_broken_template() {
        let check = |template: &str, says: &str| {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(says), "{template}: {error}");
        };
        check("a { b", "a { without its }");
        check("a } b", "a } without its {");
        check("{}", "has {}");
        check("{Type}", "has {Type}");
        check("{data/x}", "no /pointer");
    }
}
