//! `busway plugin docs`: a page on a plugin, and the table of its config in a README, made from its schema.
//!
//! Why between two marks in a README: the prose around a table is the author's, the table is the schema's, and the one
//! that is copied by hand is the one that is wrong.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{failed, fields, inspect};
use crate::cli::exit::{Code, Failure};
use crate::cli::out::{Form, Out};
use crate::plugin::{self, Inspection, World};

/// What stands before the table in a README.
const BEGIN: &str = "<!-- config: made by `busway plugin docs --write` -->";
/// What stands behind it.
const END: &str = "<!-- end of config -->";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin docs plugins/filter-threshold.wasm     a page: what it is, what it needs, its config
  busway plugin docs plugins/filter-threshold          the table of its config, from its config.schema.json
  busway plugin docs plugins/filter-threshold --write  writes that table into its README.md, between two marks")]
pub(super) struct Docs {
    /// A component (`.wasm`), or a plugin's folder with a `config.schema.json`.
    path: PathBuf,
    /// Write the table into the folder's README.md, between the two marks that are there.
    #[arg(long)]
    write: bool,
}

impl Docs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let text = if self.path.is_dir() {
            table_of(&self.path)?
        } else {
            let found = plugin::inspect(&inspect::read(&self.path)?).map_err(|error| failed(&error))?;
            page(&self.path.file_stem().unwrap_or_default().to_string_lossy(), &found)
        };
        if !self.write {
            return Ok(Out::stdout(Form::Table).line(text.trim_end())?);
        }
        if !self.path.is_dir() {
            return Err(Failure::new(Code::Usage, "--write takes a plugin's folder, not a file"));
        }
        let readme = self.path.join("README.md");
        let old = read_text(&readme)?;
        let new = replaced(&old, &text).ok_or_else(|| {
            let text = format!(
                "{} has no place for the table; put these two lines there:\n{BEGIN}\n{END}",
                readme.display()
            );
            Failure::new(Code::Data, text)
        })?;
        if new != old {
            std::fs::write(&readme, new)?;
        }
        Ok(Out::stdout(Form::Table).line(&readme.display().to_string())?)
    }
}

fn table_of(folder: &Path) -> Result<String, Failure> {
    let path = folder.join("config.schema.json");
    let text = read_text(&path)?;
    let schema: Value = serde_json::from_str(&text)
        .map_err(|cause| Failure::new(Code::Data, format!("{} is not JSON: {cause}", path.display())))?;
    Ok(fields::markdown(&plugin::fields(&schema)))
}

fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|cause| Failure::new(Code::NoInput, format!("{} cannot be read: {cause}", path.display())))
}

/// The README with this table between its marks; none if it has no marks.
fn replaced(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

fn page(name: &str, found: &Inspection) -> String {
    let mut text = format!("# {name}\n\n{}\n\n", found.summary);
    text.push_str(&format!(
        "A {} for busway:plugin@{}. {}\n",
        found.kind.as_str(),
        found.wit_version,
        match found
            .imports
            .iter()
            .filter(|import| !import.starts_with("busway:plugin/"))
            .count()
        {
            0 => "It imports nothing but the contract: it can compute and log.".to_owned(),
            count =>
                format!("It imports {count} interfaces beside the contract, which work as far as they are granted."),
        }
    ));
    if !found.needed_grants.is_empty() {
        let lines = found.needed_grants.join("\n").replace("NAME", name);
        text.push_str(&format!("\n## What it needs\n\n```toml\n{lines}\n```\n"));
    }
    text.push_str("\n## Config\n\n");
    let Some(schema) = &found.config_schema else {
        text.push_str("It gives no schema of its config.\n");
        return text;
    };
    let known = plugin::fields(schema);
    text.push_str(&fields::markdown(&known));
    let flag = match found.kind {
        World::Filter => "--plugin",
        World::Notifier => "--notifier",
    };
    let set: Vec<String> = known
        .iter()
        .filter(|field| field.required)
        .map(|field| format!(" --set {}=…", field.name))
        .collect();
    let end = match found.kind {
        World::Filter => " --sink http://…",
        World::Notifier => "",
    };
    text.push_str(&format!(
        "\n```sh\nbusway subscription create --type '**' {flag} {name}{}{end}\n```\n",
        set.concat()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_put_between_its_marks() {
        let readme = format!("# A\n\n{BEGIN}\nold\n{END}\n\nprose\n");
        let new = replaced(&readme, "| new |\n").unwrap();
        assert_eq!(new, format!("# A\n\n{BEGIN}\n\n| new |\n\n{END}\n\nprose\n"));
        assert_eq!(replaced(&new, "| new |\n").unwrap(), new, "it settles");
        assert_eq!(replaced("# A\n", "| new |\n"), None);
    }

    /// Every plugin of ours that has a schema has its table in its README.
    #[test]
    fn the_tables_in_our_readmes_are_the_schemas() {
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
        let mut seen = 0;
        for folder in std::fs::read_dir(plugins).unwrap().map(|entry| entry.unwrap().path()) {
            if !folder.join("config.schema.json").exists() {
                continue;
            }
            let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
            let table = table_of(&folder).unwrap();
            let shown = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let expected =
                replaced(&readme, &table).unwrap_or_else(|| panic!("plugins/{shown}/README.md has no marks"));
            assert_eq!(readme, expected, "run: busway plugin docs plugins/{shown} --write");
            seen += 1;
        }
        assert!(seen >= 3, "only {seen} plugins with a schema were found");
    }
}
