//! Tools that come from a language's own registry: fetched once for a user, pinned, and found there ever after.
//!
//! Why here and not in each plugin: they are hundreds of megabytes, and a plugin's folder should hold a plugin. Why
//! pinned: what they make must fit the contract's version and this hub's engine, which was tried with these versions.
//! Invariant: a tool stands under its name whole or not at all: it is installed beside, then renamed, under a lock that
//! ends with its holder, so neither a failure nor an interruption leaves something that is taken for the tool.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::tools::{self, Tools};
use crate::error::{Error, Kind};

const GET_NODE: &str = "a plugin in JavaScript or TypeScript needs Node.js (20 or newer) and npm: install them (Debian \
    and Ubuntu: `apt-get install nodejs npm`; Fedora: `dnf install nodejs`; macOS: `brew install node`)";
const GET_PYTHON: &str = "Python 3.10 or newer, with venv: install it (Debian and Ubuntu: `apt-get install python3 \
    python3-venv`; Fedora: `dnf install python3`; macOS: `brew install python`)";

const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";
const ESBUILD: &str = "esbuild@0.28.2";

/// Node, and a folder whose `node_modules` has the tools for JavaScript.
pub(super) fn javascript(tools: &Tools, say: &mut dyn FnMut(&str)) -> Result<(PathBuf, PathBuf), Error> {
    let missing = || tools::missing(GET_NODE.to_owned());
    let node = tools.find(&["node", "nodejs"]).ok_or_else(missing)?;
    let kept = once(tools, "javascript-0.23.0", say, |folder, say| {
        let npm = tools.find(&["npm"]).ok_or_else(missing)?;
        let mut npm = tools.command_at(npm);
        npm.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
        ])
        .args(["--loglevel=error", "--prefix"])
        .arg(folder)
        .args([COMPONENTIZE_JS, ESBUILD]);
        tools::run(&mut npm, say)
    })?;
    Ok((node, kept))
}

/// A Python that has this package of PyPI, in this version. `what` needs Python, in the message when there is none.
pub(super) fn python(
    tools: &Tools,
    package: &str,
    version: &str,
    what: &str,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let kept = once(tools, &format!("{package}-{version}"), say, |folder, say| {
        let Some(python) = tools.find(&["python3", "python"]) else {
            return Err(tools::missing(format!("{what} needs {GET_PYTHON}")));
        };
        let mut venv = tools.command_at(python);
        venv.args(["-m", "venv"]).arg(folder);
        tools::run(&mut venv, say).map_err(|error| explained(error, GET_PYTHON))?;
        let mut pip = tools.command_at(python_in(folder));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("{package}=={version}"));
        tools::run(&mut pip, say)
    })?;
    Ok(python_in(&kept))
}

/// The interpreter of a virtual environment: it finds its packages by where it stands, so the folder may be renamed
/// (the scripts beside it may not: they name the folder they were made in).
fn python_in(folder: &Path) -> PathBuf {
    match cfg!(windows) {
        true => folder.join("Scripts").join("python.exe"),
        false => folder.join("bin").join("python"),
    }
}

/// The folder of this name, filled by `install` if it is not there yet.
fn once(
    tools: &Tools,
    name: &str,
    say: &mut dyn FnMut(&str),
    install: impl FnOnce(&Path, &mut dyn FnMut(&str)) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let home = tools.kept()?;
    let ready = home.join(name);
    if ready.is_dir() {
        return Ok(ready);
    }
    let cannot = |cause: std::io::Error| not_kept(home, cause);
    fs::create_dir_all(home).map_err(cannot)?;
    let lock = File::create(home.join(format!(".{name}.lock"))).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    if ready.is_dir() {
        return Ok(ready);
    }
    say(&format!("fetching {name} into {} (once)", home.display()));
    let beside = home.join(format!(".{name}.new"));
    // Of somebody who was interrupted.
    let _ = fs::remove_dir_all(&beside);
    fs::create_dir(&beside).map_err(cannot)?;
    let installed = install(&beside, say);
    if installed.is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    installed.map_err(|error| explained(error, "it is fetched from its registry once; is there a way to it?"))?;
    fs::rename(&beside, &ready).map_err(cannot)?;
    Ok(ready)
}

/// What failed was not the author's code: say what may help.
fn explained(error: Error, more: &str) -> Error {
    match error.code() {
        "build_failed" => tools::missing(format!("{}\n({more})", error.message())),
        _ => error,
    }
}

fn not_kept(home: &Path, cause: std::io::Error) -> Error {
    let what = format!(
        "tools are kept in {}, which cannot be written: {cause}; name another folder in BUSWAY_TOOLS",
        home.display()
    );
    Error::new(Kind::Unavailable, "not_written", what).with_cause(cause)
}
