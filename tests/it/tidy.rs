//! The rules of the house, checked from the sources; prints the sheet (`cargo test tidy -- --nocapture`).
//!
//! Why a test and not a tool: a rule that nobody runs is a wish, and tests are what everybody runs.
//! The lexing is rough on purpose (lines, not syntax): rustfmt keeps the sources in a shape that it can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules from the top down; a module may use those of later rows, and its own row only where it says so.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["server", "config"],
    &["api", "compat", "console", "devkit"],
    &["hub"],
    &["deliver"],
    &["subscription", "filter", "log", "plugin"],
    &["net", "event"],
    &["error", "time", "tasks", "metrics"],
];

/// Neighbours that may know each other (one direction); `filter`, `log` and `plugin` may not.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("server", "config"),
    ("api", "devkit"),
    ("subscription", "filter"),
    ("subscription", "log"),
    ("error", "time"),
    ("time", "error"),
    ("tasks", "time"),
    ("metrics", "time"),
];

/// Packages that only these modules name.
const PACKAGES: &[(&str, &[&str])] = &[
    ("wasmtime", &["plugin"]),
    ("wasmtime_wasi", &["plugin"]),
    ("axum", &["api", "compat", "console", "server"]),
    ("notify", &["plugin"]),
    ("rusqlite", &["log", "subscription"]),
    ("clap", &["cli"]),
    ("toml", &["config"]),
];

const BANNED: &[&str] = &[
    "Manager",
    "Processor",
    "Helper",
    "Util",
    "Common",
    "Info",
    "Wrapper",
    "Message",
    "Job",
];

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

/// A source file of the product.
struct Source {
    path: PathBuf,
    /// The module at the top that it belongs to.
    module: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests")
            || self.path.file_name().is_some_and(|name| name == "tests.rs")
    }

    /// The lines before the tests at the bottom, with their numbers.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = |line: &&str| *line == "#[cfg(test)]";
        let until = self.text.lines().position(|line| tests(&line)).unwrap_or(usize::MAX);
        self.text
            .lines()
            .enumerate()
            .take(until)
            .map(|(at, line)| (at + 1, line))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Lines that are neither empty nor a comment.
    fn code_lines(&self) -> usize {
        self.product().filter(|(_, line)| is_code(line)).count()
    }
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join("src"), root, &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(folder: &Path, root: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, root, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let short = path.strip_prefix(root).unwrap().to_owned();
            let module = short.components().nth(1).unwrap().as_os_str().to_string_lossy();
            let module = module.trim_end_matches(".rs").to_owned();
            found.push(Source {
                text: std::fs::read_to_string(&path).unwrap(),
                path: short,
                module,
            });
        }
    }
}

fn check(what: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

fn row(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

/// The modules that a line uses by `crate::x`, `use crate::{x::…, y}` included as rustfmt writes it on one line.
fn used(line: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut modules: Vec<String> = Vec::new();
    for part in line.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => modules.push(word(part)),
            Some(list) => modules.extend(list.split(", ").map(|item| word(item.trim()))),
        }
    }
    modules
}

#[test]
fn arrows_go_down_only() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let Some(own) = row(&source.module) else {
            continue;
        };
        for (number, line) in source.product().filter(|(_, line)| is_code(line)) {
            for module in used(line) {
                let Some(other) = row(&module) else { continue };
                let neighbours = NEIGHBOURS.contains(&(source.module.as_str(), module.as_str()));
                if module != source.module && other <= own && !(other == own && neighbours) {
                    faults.push(format!(
                        "{}: `{}` may not use `{module}`",
                        source.at(number),
                        source.module
                    ));
                }
            }
        }
    }
    check("imports against the layers", faults);
}

#[test]
fn packages_stay_in_their_module() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.product().filter(|(_, line)| is_code(line)) {
            for (package, homes) in PACKAGES {
                let named = line.contains(&format!("{package}::")) || line.contains(&format!("use {package};"));
                let inside = line.contains(&format!("::{package}::")) || line.contains(&format!("_{package}::"));
                if named && !inside && !homes.contains(&source.module.as_str()) {
                    faults.push(format!("{}: only {homes:?} may name `{package}`", source.at(number)));
                }
            }
        }
    }
    check("packages outside their module", faults);
}

#[test]
fn every_file_says_what_it_is() {
    let missing = |source: &&Source| !source.text.starts_with("//!");
    let all = sources();
    let faults = all
        .iter()
        .filter(missing)
        .map(|source| source.path.display().to_string());
    check("files without a header", faults.collect());
}

#[test]
fn names_are_the_glossary() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.product().filter(|(_, line)| is_code(line)) {
            let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            for pair in words.windows(2) {
                let (keyword, name) = (pair[0], pair[1]);
                let defines_type = matches!(keyword, "struct" | "enum" | "trait");
                if defines_type && BANNED.iter().any(|banned| name.contains(banned)) {
                    faults.push(format!("{}: `{name}`", source.at(number)));
                }
                if keyword == "fn" && (name.starts_with("get_") || name.starts_with("handle_")) {
                    faults.push(format!("{}: `{name}`", source.at(number)));
                }
            }
        }
    }
    check("banned names", faults);
}

#[test]
fn nothing_is_left_to_do() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!("),
        concat!("to", "do!("),
        "#[ignore",
    ];
    let mut faults = Vec::new();
    for source in &sources() {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{}: {}", source.at(number + 1), line.trim()));
            }
        }
    }
    check("unfinished business", faults);
}

#[test]
fn files_and_functions_are_short() {
    let all = sources();
    let product: Vec<&Source> = all.iter().filter(|source| !source.is_test()).collect();
    let files: BTreeMap<String, usize> = product
        .iter()
        .map(|source| (source.path.display().to_string(), source.code_lines()))
        .collect();
    let functions: Vec<(String, usize)> = product.iter().flat_map(|source| functions(source)).collect();
    let test_lines: usize = all.iter().map(lines_of_tests).sum();
    let code_lines: usize = files.values().sum();
    println!("files      {}", spread(files.values().copied()));
    println!("functions  {}", spread(functions.iter().map(|(_, length)| *length)));
    println!("code lines {code_lines}, test lines beside them {test_lines}");
    let long_files = files.iter().filter(|(_, lines)| **lines > LONGEST_FILE);
    let long_functions = functions.iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
    let faults = long_files.map(|(path, lines)| format!("{path}: {lines} code lines"));
    check(
        "too long",
        faults
            .chain(long_functions.map(|(at, lines)| format!("{at}: {lines} lines")))
            .collect(),
    );
}

fn lines_of_tests(source: &Source) -> usize {
    let all = source.text.lines().filter(|line| is_code(line)).count();
    if source.is_test() {
        all
    } else {
        all - source.code_lines()
    }
}

/// Where each function begins and how many code lines its body has: from `fn` to the brace at the same depth.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<(usize, &str)> = source.product().collect();
    let mut found = Vec::new();
    for (at, (number, line)) in lines.iter().enumerate() {
        let code = line.trim_start();
        let starts = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(super) fn ",
            "pub(crate) fn ",
            "pub(super) async fn ",
        ];
        if !starts.iter().any(|start| code.starts_with(start)) || line.trim_end().ends_with([';', '}']) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(line.len() - code.len()));
        let body = lines
            .iter()
            .skip(at + 1)
            .take_while(|(_, line)| **line != close && line.trim_end() != close);
        found.push((source.at(*number), body.filter(|(_, line)| is_code(line)).count()));
    }
    found
}

fn spread(sizes: impl Iterator<Item = usize>) -> String {
    let mut sizes: Vec<usize> = sizes.collect();
    sizes.sort_unstable();
    let at = |share: usize| {
        sizes
            .get(sizes.len() * share / 100)
            .or(sizes.last())
            .copied()
            .unwrap_or(0)
    };
    format!("{}: median {} / p90 {} / max {}", sizes.len(), at(50), at(90), at(100))
}
