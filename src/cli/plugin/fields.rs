//! The fields of a plugin's config as people read them: columns in a terminal, a table in Markdown.

use serde_json::{Value, json};

use crate::plugin::Field;

/// The heads of [`rows`].
pub(super) const HEADS: [&str; 4] = ["FIELD", "TAKES", "DEFAULT", "WHAT IT IS"];

/// A row a field.
pub(super) fn rows(fields: &[Field]) -> Vec<Vec<String>> {
    let row = |field: &Field| {
        vec![
            field.name.clone(),
            field.takes.clone(),
            default(field),
            field.description.clone(),
        ]
    };
    fields.iter().map(row).collect()
}

/// The same for a program.
pub(super) fn to_json(fields: &[Field]) -> Value {
    let one = |field: &Field| {
        json!({
            "name": field.name,
            "takes": field.takes,
            "required": field.required,
            "default": field.default,
            "description": field.description,
        })
    };
    fields.iter().map(one).collect()
}

/// A Markdown table, a line a field.
pub(super) fn markdown(fields: &[Field]) -> String {
    if fields.is_empty() {
        return "It takes no config.\n".to_owned();
    }
    let mut text = "| field | takes | default | what it is |\n|---|---|---|---|\n".to_owned();
    for field in fields {
        let shown = match default(field).as_str() {
            plain @ ("" | "required") => plain.to_owned(),
            value => format!("`{value}`"),
        };
        let cells = [&format!("`{}`", field.name), &field.takes, &shown, &field.description];
        let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// The command that uses a plugin of this kind, with what its config must have.
pub(super) fn create(name: &str, kind: &str, fields: &[Field]) -> String {
    let (flag, end) = match kind {
        "filter" => ("--plugin", " --sink http://…"),
        _ => ("--notifier", ""),
    };
    let required = fields.iter().filter(|field| field.required);
    let set: String = required.map(|field| format!(" --set {}=…", field.name)).collect();
    format!("busway subscription create --type '**' {flag} {name}{set}{end}")
}

fn default(field: &Field) -> String {
    match &field.default {
        Some(value) => value.to_string(),
        None if field.required => "required".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::fields;

    #[test]
    fn a_table_has_a_line_a_field() {
        let schema = json!({
            "properties": {
                "keyword": {"type": "string", "description": "a | b"},
                "keep": {"type": "boolean", "default": true, "description": "whether"},
            },
            "required": ["keyword"],
        });
        let expected = "\
| field | takes | default | what it is |
|---|---|---|---|
| `keyword` | string | required | a \\| b |
| `keep` | boolean | `true` | whether |
";
        assert_eq!(markdown(&fields(&schema)), expected);
        assert_eq!(markdown(&fields(&json!({}))), "It takes no config.\n");
    }
}
