//! Text with holes: `{type}` is an attribute, `{/a/b}` a JSON Pointer into the data, `{{` and `}}` are braces.

/// A template, parsed once.
#[derive(Debug, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Attribute(String),
    Pointer(String),
}

impl Template {
    /// Splits the text into its parts; the error continues "template ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
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
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The text for one event. What the event lacks leaves its hole empty.
    pub fn fill(&self, attribute: impl Fn(&str) -> Option<String>, at: impl Fn(&str) -> Option<String>) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Attribute(name) => attribute(name).unwrap_or_default(),
            Part::Pointer(pointer) => at(pointer).map(plain).unwrap_or_default(),
        };
        self.0.iter().map(fill).collect()
    }
}

fn hole(name: &str) -> Result<Part, String> {
    if name.starts_with('/') {
        return Ok(Part::Pointer(name.to_owned()));
    }
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Err(format!("has {{{name}}}, which is no attribute name and no /pointer"));
    }
    Ok(Part::Attribute(name.to_owned()))
}

/// A JSON string without its quotes; any other JSON as it is.
fn plain(json: String) -> String {
    serde_json::from_str(&json).unwrap_or(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_holes() {
        let check = |template: &str, expected: &str| {
            let attribute = |name: &str| (name == "type").then(|| "order.created".to_owned());
            let at = |pointer: &str| match pointer {
                "/name" => Some(r#""a \"b\" é""#.to_owned()),
                "/n" => Some("7".to_owned()),
                "/o" => Some(r#"{"x":1}"#.to_owned()),
                _ => None,
            };
            assert_eq!(
                Template::parse(template).unwrap().fill(attribute, at),
                expected,
                "{template}"
            );
        };
        check("", "");
        check("{type}", "order.created");
        check("{type}: {/name}!", "order.created: a \"b\" é!");
        check("{/n}{/n} {/o}", "77 {\"x\":1}");
        check("[{subject}{/none}]", "[]");
        check("{{type}} {{{type}}} é{{", "{type} {order.created} é{");
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
