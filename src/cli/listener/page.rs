//! What `busway listener` prints, as pulp-admin prints it: 80 columns, an empty line behind every message.
//!
//! Everything goes to stdout, refusals too: that is where scripts of pulp-admin's users look.
//! Pure: text in, text out.

use serde_json::{Map, Value};

use super::grammar::{Command, Section};

/// Lines are broken here.
const WIDTH: usize = 80;

/// Text that is being written.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// A message, and an empty line.
    pub(super) fn message(&mut self, text: &str) {
        self.line(text);
        self.line("");
    }

    /// One line, broken where it is too long.
    fn line(&mut self, text: &str) {
        self.wrapped(text, 0);
    }

    fn wrapped(&mut self, text: &str, indent: usize) {
        self.0.push_str(&wrap(text, indent));
        self.0.push('\n');
    }

    /// What a section has.
    pub(super) fn section(&mut self, section: &Section) {
        let path = format!("busway listener {}", section.name);
        self.line(&format!("Usage: {} [SUB_SECTION, ..] COMMAND", path.trim_end()));
        self.line(&format!("Description: {}", section.about));
        self.line("");
        let sections: Vec<_> = section.sections.iter().map(|one| (one.name, one.about)).collect();
        let commands: Vec<_> = section.commands.iter().map(|one| (one.name, one.about)).collect();
        if !sections.is_empty() {
            self.line("Available Sections:");
            self.columns(&sections);
            self.line("");
        }
        self.line("Available Commands:");
        self.columns(&commands);
    }

    /// What a command takes, and what of it was not given.
    pub(super) fn usage(&mut self, command: &Command, missing: &[&str]) {
        self.line(&format!("Command: {}", command.name));
        self.line(&format!("Description: {}", command.about));
        if !command.options.is_empty() {
            self.line("");
            self.line("Available Arguments:");
            self.line("");
            let about = |required: bool, about: &str| format!("{}{about}", if required { "(required) " } else { "" });
            let all = command.options.iter();
            let rows: Vec<(&str, String)> = all.map(|one| (one.name, about(one.required, one.about))).collect();
            let rows: Vec<(&str, &str)> = rows.iter().map(|(name, about)| (*name, about.as_str())).collect();
            self.columns(&rows);
        }
        if !missing.is_empty() {
            self.line("");
            self.line("The following options are required but were not specified:");
            for name in missing {
                self.line(&format!("  {name}"));
            }
        }
    }

    fn columns(&mut self, rows: &[(&str, &str)]) {
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, about) in rows {
            self.wrapped(&format!("  {name:<width$} - {about}"), width + 5);
        }
    }

    /// A listener: its keys in order, those that begin with `_` left out, and an empty line.
    pub(super) fn document(&mut self, document: &Map<String, Value>) {
        self.fields(document, 0, 2);
        self.line("");
    }

    fn fields(&mut self, document: &Map<String, Value>, indent: usize, gap: usize) {
        let mut shown: Vec<(&String, &Value)> = document.iter().filter(|(name, _)| !name.starts_with('_')).collect();
        shown.sort_by_key(|(name, _)| *name);
        let width = shown
            .iter()
            .map(|(name, _)| title(name).chars().count() + 1)
            .max()
            .unwrap_or(0);
        for (name, value) in shown {
            let label = format!(
                "{}{:<width$}{}",
                " ".repeat(indent),
                format!("{}:", title(name)),
                " ".repeat(gap)
            );
            match value {
                Value::Object(below) => {
                    self.line(&label);
                    self.fields(below, indent + 2, 1);
                }
                value => self.wrapped(&format!("{label}{}", plain(value)), indent + width + gap),
            }
        }
    }
}

/// `notifier_type_id` as `Notifier Type Id`.
fn title(name: &str) -> String {
    let word = |part: &str| match part.to_ascii_lowercase().as_str() {
        known @ ("ca" | "ssl" | "url") => known.to_ascii_uppercase(),
        lower => {
            let mut letters = lower.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().chain(letters).collect())
                .unwrap_or_default()
        }
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

/// A value on one line, as Python would print it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', " "),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}

/// Breaks text at spaces; lines but the first begin with so many.
fn wrap(text: &str, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut left: Vec<char> = text.chars().collect();
    while !left.is_empty() {
        if !lines.is_empty() {
            let start = left.iter().position(|c| !c.is_whitespace()).unwrap_or(left.len());
            left = std::iter::repeat_n(' ', indent).chain(left.split_off(start)).collect();
        }
        let mut end = left.len().min(WIDTH);
        if end < left.len() && left.get(end) != Some(&' ') {
            let space = left.iter().take(end).rposition(|&c| c == ' ');
            end = space.filter(|&at| at > indent).unwrap_or(end);
        }
        let rest = left.split_off(end);
        lines.push(left.into_iter().collect());
        left = rest;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::grammar::{LISTENER, find};
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces() {
        let long = "x".repeat(100);
        for (text, indent, expected) in [
            ("short", 4, "short".to_owned()),
            ("", 0, String::new()),
            (&format!("{} b", "a".repeat(80)), 2, format!("{}\n  b", "a".repeat(80))),
            (
                &format!("{} bcd", "a".repeat(78)),
                2,
                format!("{}\n  bcd", "a".repeat(78)),
            ),
            (&long, 0, format!("{}\n{}", "x".repeat(80), "x".repeat(20))),
        ] {
            assert_eq!(wrap(text, indent), expected);
        }
    }

    #[test]
    fn listeners_are_shown_as_pulp_admin_shows_them() {
        let check = |document: Value, expected: &str| {
            let mut page = Page::default();
            page.document(document.as_object().unwrap());
            assert_eq!(page.0, expected);
        };
        check(
            json!({"_href": "/x", "_id": {"$oid": "1"}, "id": "5081a42ce19a00ea4300000e", "event_types": ["repo.sync.start"],
                "notifier_config": {"subject": "pulp notification", "addresses": ["someone@redhat.com", "another@redhat.com"]},
                "notifier_type_id": "email"}),
            "Event Types:       repo.sync.start\nId:                5081a42ce19a00ea4300000e\n\
             Notifier Config:   \n  Addresses: someone@redhat.com, another@redhat.com\n  Subject:   pulp notification\n\
             Notifier Type Id:  email\n\n",
        );
        check(
            json!({"id": "1", "notifier_config": {"url": "http://a", "ca_path": null, "password": "p"}, "n": 1.5}),
            "Id:               1\nN:                1.5\nNotifier Config:  \n  CA Path:  None\n  Password: p\n  URL:      http://a\n\n",
        );
    }

    #[test]
    fn usage_says_what_is_missing() {
        let words = ["email".to_owned(), "create".to_owned()];
        let mut page = Page::default();
        page.usage(find(&words).0.unwrap(), &["--event-type"]);
        let expected = r#"Command: create
Description: create a listener

Available Arguments:

  --event-type - (required) one of "repo.sync.start", "repo.sync.finish",
                 "repo.publish.start", "repo.publish.finish". May be specified
                 multiple times. To match all types, use value "*"
  --subject    - (required) text of the email's subject
  --addresses  - (required) this is a comma separated list of email addresses
                 that should receive these notifications. Do not include spaces.

The following options are required but were not specified:
  --event-type
"#;
        assert_eq!(page.0, expected);
    }

    #[test]
    fn sections_say_what_is_in_them() {
        let mut page = Page::default();
        page.section(&LISTENER);
        let expected = "Usage: busway listener [SUB_SECTION, ..] COMMAND
Description: manage server-side event listeners

Available Sections:
  amqp  - manage amqp listeners
  email - manage email listeners
  http  - manage http listeners

Available Commands:
  delete - delete an event listener
  list   - list all of the event listeners in the system
";
        assert_eq!(page.0, expected);
    }
}
