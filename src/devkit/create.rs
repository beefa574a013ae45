//! `plugin new`: a project that builds at once, in any language, with two recorded events and what to expect of them.
//!
//! Each is the least that works: a filter that drops what is marked as a test, a notifier that posts one line. More is
//! in the examples (`plugins/`), which are not copied, since what a new author must first delete teaches nothing.
//! Invariant: a project is written whole into a folder of its own, or not at all; nothing is ever overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use super::WIT;
use crate::error::{Error, Kind};
use crate::nearest::hint;
use crate::plugin::World;

const EVENTS: &str = include_str!("new/events.jsonl");
const CARGO: &str = include_str!("new/Cargo.toml.txt");
/// What a notifier in Rust needs besides: requests without std, and JSON.
const CARGO_NOTIFIER: &str = "serde_json = { version = \"1\", default-features = false, features = [\"alloc\"] }
wasip2 = { version = \"1\", default-features = false }
";

/// A language that a project can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// Rust, for `wasm32-unknown-unknown`.
    Rust,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// Python.
    Python,
    /// C.
    C,
    /// C++.
    Cpp,
    /// WebAssembly text: filters only.
    Wat,
}

impl Starter {
    /// All of them, by the names that [`Starter::named`] knows.
    pub const ALL: [(&str, Self); 7] = [
        ("rust", Self::Rust),
        ("javascript", Self::JavaScript),
        ("typescript", Self::TypeScript),
        ("python", Self::Python),
        ("c", Self::C),
        ("cpp", Self::Cpp),
        ("wat", Self::Wat),
    ];

    /// The language of this name, or of its usual short form.
    ///
    /// # Errors
    /// `unknown_language`, with those that there are.
    pub fn named(name: &str) -> Result<Self, Error> {
        let long = match name {
            "js" => "javascript",
            "ts" => "typescript",
            "py" => "python",
            "c++" => "cpp",
            "rs" => "rust",
            other => other,
        };
        let names = || Self::ALL.iter().map(|(name, _)| *name);
        let found = Self::ALL.iter().find(|(name, _)| *name == long);
        found.map(|(_, starter)| *starter).ok_or_else(|| {
            let what = format!("there is no project in `{name}`: {}", hint(name, names()));
            Error::invalid("unknown_language", what)
        })
    }

    /// The files of a project besides its README and its events.
    fn files(self, world: World) -> Result<Vec<(&'static str, String)>, Error> {
        let of = |filter: &str, notifier: &str| match world {
            World::Filter => filter.to_owned(),
            World::Notifier => notifier.to_owned(),
        };
        let name = |filter: &'static str, notifier: &'static str| match world {
            World::Filter => filter,
            World::Notifier => notifier,
        };
        Ok(match self {
            Self::Rust => vec![
                ("Cargo.toml", of(CARGO, &format!("{CARGO}{CARGO_NOTIFIER}"))),
                (
                    "src/lib.rs",
                    of(include_str!("new/filter.rs.txt"), include_str!("new/notifier.rs.txt")),
                ),
                ("wit/busway.wit", WIT.to_owned()),
                (".gitignore", "/target\n*.wasm\n".to_owned()),
            ],
            Self::JavaScript => vec![(
                name("filter.js", "notifier.js"),
                of(include_str!("new/filter.js"), include_str!("new/notifier.js")),
            )],
            Self::TypeScript => vec![(
                name("filter.ts", "notifier.ts"),
                of(include_str!("new/filter.ts"), include_str!("new/notifier.ts")),
            )],
            Self::Python => vec![(
                name("filter.py", "notifier.py"),
                of(include_str!("new/filter.py"), include_str!("new/notifier.py")),
            )],
            Self::C => vec![(
                name("filter.c", "notifier.c"),
                of(include_str!("new/filter.c"), include_str!("new/notifier.c")),
            )],
            Self::Cpp => vec![(
                name("filter.cpp", "notifier.cpp"),
                of(include_str!("new/filter.cpp"), include_str!("new/notifier.cpp")),
            )],
            Self::Wat if world == World::Filter => vec![(
                "filter.wat",
                include_str!("../../plugins/filter-subject-wat/filter.wat").to_owned(),
            )],
            Self::Wat => {
                let what = "WebAssembly text is for filters: nobody writes the requests of a notifier by hand; take c";
                return Err(Error::invalid("unknown_language", what));
            }
        })
    }
}

/// Writes a project called `name` into the folder `name` below `dir`, and returns that folder.
///
/// # Errors
/// `wrong_name`, `unknown_language` (a world that the language has no project for), `already_there`, `not_written`.
pub fn create(starter: Starter, world: World, name: &str, dir: &Path) -> Result<PathBuf, Error> {
    check(name)?;
    let (readme, outcomes) = match world {
        World::Filter => (include_str!("new/filter.md"), ["pass", "drop"]),
        World::Notifier => (include_str!("new/notifier.md"), ["delivered", "delivered"]),
    };
    let events = EVENTS.replace("REAL", outcomes[0]).replace("TEST", outcomes[1]);
    let mut files = starter.files(world)?;
    files.push(("README.md", readme.to_owned()));
    if world == World::Notifier {
        files.push(("busway.toml", include_str!("new/busway.toml").to_owned()));
    }
    files.push(("events.jsonl", events));
    let folder = dir.join(name);
    if folder.exists() {
        let what = format!("{} is already there; nothing was written", folder.display());
        return Err(Error::new(Kind::Conflict, "already_there", what));
    }
    write(&folder, name, &files).map_err(|cause| {
        let what = format!("cannot write {}: {cause}", folder.display());
        Error::new(Kind::Unavailable, "not_written", what).with_cause(cause)
    })?;
    Ok(folder)
}

/// A name that can be a file, a crate and a plugin.
fn check(name: &str) -> Result<(), Error> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let first = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
    if first && name.bytes().all(good) && name.len() <= 64 {
        return Ok(());
    }
    let what =
        format!("`{name}` cannot be a plugin's name: it has small letters, digits and -, and begins with a letter");
    Err(Error::invalid("wrong_name", what))
}

/// Written beside and renamed, so that an interrupted one is not taken for a project.
fn write(folder: &Path, name: &str, files: &[(&str, String)]) -> std::io::Result<()> {
    let above = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(above)?;
    let beside = tempfile::Builder::new().prefix(".new-").tempdir_in(above)?;
    for (path, text) in files {
        let path = beside.path().join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text.replace("NAME", name))?;
    }
    fs::rename(beside.keep(), folder)
}
