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
use crate::plugin::{self, Inspection};

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
    /// Write the table into this file, between the two marks that are there; a folder's own README.md if none is named.
    #[arg(long, value_name = "FILE")]
    write: Option<Option<PathBuf>>,
}

impl Docs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let page = match self.path.is_dir() {
            true => Page {
                table: table_of(&self.path)?,
                around: None,
            },
            false => Page::of_component(&self.path)?,
        };
        let Some(target) = self.write else {
            return Ok(Out::stdout(Form::Table).line(page.text().trim_end())?);
        };
        let readme = match (target, self.path.is_dir()) {
            (Some(named), _) => named,
            (None, true) => self.path.join("README.md"),
            (None, false) => {
                return Err(Failure::new(
                    Code::Usage,
                    "name the file to write into: --write README.md",
                ));
            }
        };
        let text = page.table;
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

/// What there is to say of a plugin.
struct Page {
    table: String,
    /// What stands before and after the table, if the plugin is there to tell.
    around: Option<(String, String)>,
}

impl Page {
    fn of_component(path: &Path) -> Result<Self, Failure> {
        let found = plugin::inspect(&inspect::read(path)?).map_err(|error| failed(&error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let known = found.config_schema.as_ref().map(plugin::fields);
        let table = match &known {
            Some(known) => fields::markdown(known),
            None => "It gives no schema of its config.\n".to_owned(),
        };
        let command = fields::create(&name, found.kind.as_str(), known.as_deref().unwrap_or_default());
        Ok(Self {
            table,
            around: Some((before(&name, &found), format!("```sh\n{command}\n```\n"))),
        })
    }

    fn text(&self) -> String {
        match &self.around {
            None => self.table.clone(),
            Some((before, after)) => format!("{before}\n## Config\n\n{}\n{after}", self.table),
        }
    }
}

fn before(name: &str, found: &Inspection) -> String {
    let beside = found
        .imports
        .iter()
        .filter(|import| !import.starts_with("busway:plugin/"));
    let imports = match beside.count() {
        0 => "It imports nothing but the contract: it can compute and log.".to_owned(),
        count => format!("It imports {count} interfaces beside the contract; they work as far as they are granted."),
    };
    let mut text = format!(
        "# {name}\n\n{}\n\nA {} for busway:plugin@{}. {imports}\n",
        found.summary,
        found.kind.as_str(),
        found.wit_version
    );
    if !found.needed_grants.is_empty() {
        let lines = found.needed_grants.join("\n").replace("NAME", name);
        text.push_str(&format!("\n## What it needs\n\n```toml\n{lines}\n```\n"));
    }
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
        assert!(seen >= 12, "only {seen} plugins with a schema were found");
    }
}
