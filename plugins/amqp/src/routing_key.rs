//! The routing key with holes: `{type}` is an attribute, `{/a/b}` a JSON Pointer into the data.
//!
//! Without escapes for braces, unlike a text for people: topic bindings match words between dots.

/// A template, read once.
#[derive(Debug, PartialEq, Eq)]
pub struct RoutingKey(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Attribute(String),
    Pointer(String),
}

impl RoutingKey {
    /// Splits the text into its parts; the error continues "routing_key ...".
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a { without its }")?;
            parts.push(Part::Text(plain(before)?));
            parts.push(hole(name)?);
            rest = after;
        }
        parts.push(Part::Text(plain(rest)?));
        Ok(Self(parts))
    }

    /// The key for one event. What the event lacks leaves its hole empty.
    pub fn fill(&self, attribute: impl Fn(&str) -> Option<String>, at: impl Fn(&str) -> Option<String>) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Attribute(name) => attribute(name).unwrap_or_default(),
            Part::Pointer(pointer) => at(pointer).map(unquoted).unwrap_or_default(),
        };
        self.0.iter().map(fill).collect()
    }
}

fn plain(text: &str) -> Result<String, String> {
    match text.contains('}') {
        true => Err("has a } without its {".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn hole(name: &str) -> Result<Part, String> {
    let is_attribute = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    match (is_attribute, name.starts_with('/')) {
        (true, _) => Ok(Part::Attribute(name.to_owned())),
        (_, true) => Ok(Part::Pointer(name.to_owned())),
        _ => Err(format!("has {{{name}}}, which is no attribute name and no /pointer")),
    }
}

/// JSON text as a word: a string without its quotes, anything else as it is.
fn unquoted(json: String) -> String {
    serde_json::from_str(&json).unwrap_or(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_its_holes() {
        let check = |template: &str, expected: &str| {
            let key = RoutingKey::parse(template).unwrap();
            let attribute = |name: &str| (name == "type").then(|| "repo.sync.start".to_owned());
            let at = |pointer: &str| match pointer {
                "/id" => Some(r#""pulp \u00e4""#.to_owned()),
                "/n" => Some("7".to_owned()),
                _ => None,
            };
            assert_eq!(key.fill(attribute, at), expected, "{template}");
        };
        check("{type}", "repo.sync.start");
        check("pulp.server.{type}", "pulp.server.repo.sync.start");
        check("{/id}.{/n}.{subject}.{/none}!", "pulp ä.7..!");
        check("fixed", "fixed");
        check("", "");
    }

    #[test]
    fn refuses_what_is_no_template() {
        let check = |template: &str, says: &str| {
            let error = RoutingKey::parse(template).unwrap_err();
            assert!(error.contains(says), "{template}: {error}");
        };
        check("{type", "{ without its }");
        check("type}", "} without its {");
        check("a}{type}", "} without its {");
        check("{}", "no attribute name");
        check("{Type}", "no attribute name");
    }
}
