//! Which language a folder is written in, and which world its sources speak of.
//!
//! What lies in the folder says it, not a manifest of ours: one file less to learn, and nothing that can disagree with
//! the source. For the same reason the world is read from the source's own words for it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::plugin::World;

/// What a plugin is made of.
#[derive(Debug, PartialEq)]
pub(super) enum Language {
    Rust,
    /// C, C++ or both.
    C(Vec<PathBuf>),
    /// JavaScript, TypeScript or both.
    JavaScript(Vec<PathBuf>),
    Python(Vec<PathBuf>),
    Wat(PathBuf),
}

impl Language {
    /// The language of the folder.
    pub(super) fn of(dir: &Path) -> Result<Self, Error> {
        let listing = fs::read_dir(dir).map_err(|cause| {
            not_a_folder(format!("cannot read the folder {}: {cause}", dir.display())).with_cause(cause)
        })?;
        let mut files: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        if files.iter().any(|file| file.ends_with("Cargo.toml")) {
            return Ok(Self::Rust);
        }
        let with = |extensions: &[&str]| -> Vec<PathBuf> {
            let known = |file: &&PathBuf| {
                file.extension()
                    .is_some_and(|own| extensions.iter().any(|one| own == *one))
            };
            files.iter().filter(known).cloned().collect()
        };
        type Made = fn(Vec<PathBuf>) -> Language;
        let languages: [(&[&str], Made); 3] = [
            (&["c", "cpp", "cc", "cxx"], Self::C),
            (&["js", "mjs", "ts", "mts"], Self::JavaScript),
            (&["py"], Self::Python),
        ];
        let mut found = languages.iter().filter_map(|(extensions, made)| {
            let sources = with(extensions);
            (!sources.is_empty()).then(|| made(sources))
        });
        match (found.next(), found.next(), with(&["wat"]).as_slice()) {
            (Some(one), None, _) => Ok(one),
            (Some(_), Some(_), _) => Err(not_a_folder(format!(
                "{} has sources of several languages; a plugin is written in one",
                dir.display()
            ))),
            (None, _, [one]) => Ok(Self::Wat(one.clone())),
            (None, _, []) => Err(not_a_folder(format!(
                "{} is no plugin folder: it has no Cargo.toml (Rust), no *.js or *.ts (JavaScript, TypeScript), no *.py \
                 (Python), no *.c or *.cpp (C, C++) and no *.wat (WebAssembly text)",
                dir.display()
            ))),
            (None, _, _) => Err(not_a_folder(format!(
                "{} has several *.wat files; a plugin is one of them",
                dir.display()
            ))),
        }
    }
}

/// The one source that names a world, by what `named` finds in its lines, and the world. `how` tells an author whose
/// sources name none, or several, what is looked for.
pub(super) fn entry(
    sources: &[PathBuf],
    named: impl Fn(&str) -> Option<World>,
    how: &str,
) -> Result<(PathBuf, World), Error> {
    let mut found = Vec::new();
    for source in sources {
        let text = fs::read_to_string(source).map_err(|cause| {
            Error::invalid("build_failed", format!("cannot read {}: {cause}", source.display())).with_cause(cause)
        })?;
        let mut worlds = text.lines().filter_map(&named);
        if let Some(world) = worlds.next() {
            if worlds.any(|other| other != world) {
                let both = format!("{} is a filter and a notifier; make two plugins of it", names(sources));
                return Err(not_a_folder(both));
            }
            found.push((source.clone(), world));
        }
    }
    match found.as_slice() {
        [(source, world)] => Ok((source.clone(), *world)),
        [] => Err(not_a_folder(format!("{} is no plugin: {how}", names(sources)))),
        [(one, _), (other, _), ..] => Err(not_a_folder(format!(
            "{} and {} are both plugins: give each a folder of its own",
            one.display(),
            other.display()
        ))),
    }
}

/// The files' names, for a person.
pub(super) fn names(sources: &[PathBuf]) -> String {
    let names = sources
        .iter()
        .filter_map(|source| Some(source.file_name()?.to_string_lossy().into_owned()));
    names.collect::<Vec<_>>().join(", ")
}

/// The folder is not a plugin's.
pub(super) fn not_a_folder(message: String) -> Error {
    Error::invalid("not_a_plugin_folder", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_what_lies_there() {
        let check = |files: &[&str], expected: Result<&str, &str>| {
            let dir = tempfile::tempdir().unwrap();
            files
                .iter()
                .for_each(|file| fs::write(dir.path().join(file), "").unwrap());
            let told = match Language::of(dir.path()) {
                Ok(Language::Rust) => Ok("rust".to_owned()),
                Ok(Language::Wat(_)) => Ok("wat".to_owned()),
                Ok(Language::C(sources) | Language::JavaScript(sources) | Language::Python(sources)) => {
                    Ok(names(&sources))
                }
                Err(error) => Err(error.message().to_owned()),
            };
            match (told, expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{files:?}"),
                (Err(told), Err(says)) => assert!(told.contains(says), "{files:?}: {told}"),
                (told, _) => panic!("{files:?}: {told:?}"),
            }
        };
        check(&["Cargo.toml", "a.c"], Ok("rust"));
        check(&["b.cpp", "a.c", "a.h"], Ok("a.c, b.cpp"));
        check(&["package.json", "a.mjs", "b.ts"], Ok("a.mjs, b.ts"));
        check(&["a.py", "requirements.txt"], Ok("a.py"));
        check(&["a.wat", "README.md"], Ok("wat"));
        check(&["a.py", "b.js"], Err("several languages"));
        check(&["a.wat", "b.wat"], Err("several *.wat"));
        check(&["README.md"], Err("no Cargo.toml (Rust)"));
    }
}
